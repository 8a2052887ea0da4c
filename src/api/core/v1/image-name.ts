/**
 * The tag of an image name: `latest` when it names neither tag nor digest, empty when it has only a digest or is no
 * image name at all.
 */
export function imageTag(image: string): string {
  const at = image.indexOf('@');
  const named = at < 0 ? image : image.slice(0, at);
  if (at >= 0 && !/^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/.test(image.slice(at + 1)))
    return '';
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const name = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? '' : named.slice(colon + 1);
  if (!isRepository(name) || (colon >= 0 && !/^\w[\w.-]{0,127}$/.test(tag))) return '';
  return colon < 0 && at < 0 ? 'latest' : tag;
}

/** Upstream's choice for an image without a pull policy. */
export function defaultPullPolicy(image: string): 'Always' | 'IfNotPresent' {
  return imageTag(image) === 'latest' ? 'Always' : 'IfNotPresent';
}

const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const host =
  /^(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*(?::[0-9]+)?$/;

function isRepository(name: string): boolean {
  if (name.length > 255 || /^[a-f0-9]{64}$/.test(name)) return false;
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const hasHost = slash >= 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  if (hasHost && !host.test(first) && !/^\[[a-fA-F0-9:]+\](?::[0-9]+)?$/.test(first)) return false;
  const path = hasHost ? name.slice(slash + 1) : name;
  return path.split('/').every(part => component.test(part));
}
