// The address of a state: #MODEL/PATH.FUTURE~SEAL. The future and the seal may be missing.

export interface Address {
  model: string;
  path: string;
  future: string;
  seal: string;
}

/** The address in a fragment. */
export function parseAddress(hash: string): Address {
  const text = hash.replace(/^#/, "");
  const slash = text.lastIndexOf("/");
  const model = decodeURIComponent(slash < 0 ? text : text.slice(0, slash));
  const rest = slash < 0 ? "" : text.slice(slash + 1);
  const [links, seal] = split(rest, "~");
  const [path, future] = split(links, ".");
  return { model, path, future, seal };
}

/** The fragment of an address. */
export function formatAddress({ model, path, future, seal }: Address): string {
  const name = encodeURIComponent(model).replaceAll("%3D", "=").replaceAll("%7E", "~");
  return `#${name}/${path}${future === "" ? "" : `.${future}`}${seal === "" ? "" : `~${seal}`}`;
}

function split(text: string, by: string): [string, string] {
  const at = text.indexOf(by);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

/** A link as its steps: each is any number of `_` and one letter. */
export function steps(link: string): string[] {
  return link.match(/_*[^_]/g) ?? [];
}
