fn main() {
    println!(
        "{} {}",
        size_of::<lockstep_model::Server>(),
        size_of::<lockstep_model::ClusterState>()
    );
}
