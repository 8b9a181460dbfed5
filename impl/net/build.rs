//! Generates the service between servers; its messages are written by hand.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let method = |name: &str, route: &str, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::proto::{input}"))
            .output_type(format!("crate::proto::{output}"))
            .codec_path("tonic_prost::ProstCodec")
    };
    let service = Service::builder()
        .name("Peer")
        .package("lockstep.net.v1")
        .method(
            method("messages", "Messages", "Frames", "Closed")
                .client_streaming()
                .build(),
        )
        .method(
            method("snapshot", "Snapshot", "Piece", "Closed")
                .client_streaming()
                .build(),
        )
        .method(method("ask", "Ask", "Question", "Answer").build())
        .build();
    Builder::new().compile(&[service]);
}
