import { type AuthConfig, RuntimeError } from '../../runtime.ts';
import { parseReference } from './reference.ts';

/**
 * The credentials that pull secrets have for an image, the most specific first. A secret is the content of
 * `.dockerconfigjson`, or of the older `.dockercfg`, which lacks the outer `auths`.
 */
export function findPullCredentials(secrets: readonly string[], image: string): readonly AuthConfig[] {
  const { host, repository } = parseReference(image);
  const target = `${host}/${repository}`;
  const found = secrets.flatMap(secret =>
    entriesOf(secret)
      .map(([key, auth]) => ({ pattern: patternOf(key), auth }))
      .filter(({ pattern }) => covers(pattern, target)),
  );
  return found.toSorted((one, other) => other.pattern.length - one.pattern.length).map(({ auth }) => auth);
}

function entriesOf(secret: string): [string, AuthConfig][] {
  let value: unknown;
  try {
    value = JSON.parse(secret);
  } catch (cause) {
    throw new RuntimeError('InvalidArgument', 'cannot read a pull secret: not JSON', { cause });
  }
  if (!isObject(value)) throw new RuntimeError('InvalidArgument', 'cannot read a pull secret: not an object');
  const auths = isObject(value.auths) ? value.auths : value;
  return Object.entries(auths)
    .filter((entry): entry is [string, Record<string, unknown>] => isObject(entry[1]))
    .map(([key, entry]) => [key, authOf(entry)]);
}

function authOf(entry: Record<string, unknown>): AuthConfig {
  const word = (name: string) => (typeof entry[name] === 'string' && entry[name] !== '' ? entry[name] : undefined);
  return {
    ...(word('auth') ? { auth: word('auth') } : {}),
    ...(word('username') ? { username: word('username'), password: word('password') ?? '' } : {}),
    ...(word('identitytoken') ? { identityToken: word('identitytoken') } : {}),
    ...(word('registrytoken') ? { registryToken: word('registrytoken') } : {}),
  };
}

/** `https://index.docker.io/v1/` is how Docker Hub stands in such files; others may have a scheme or a version too. */
function patternOf(key: string): string {
  const bare = key.replace(/^https?:\/\//, '').replace(/\/(?:v1|v2)?\/*$/, '');
  const [host = '', ...path] = bare.split('/');
  const hub = host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host;
  return [hub, ...path].join('/');
}

/** A host, in which `*` stands for one label or a part of it, and a path that the image's begins with. */
function covers(pattern: string, target: string): boolean {
  const [host = '', ...path] = pattern.split('/');
  const [targetHost = '', ...targetPath] = target.split('/');
  const [name = '', port = ''] = host.split(':');
  const [targetName = '', targetPort = ''] = targetHost.split(':');
  const labels = name.split('.');
  const targetLabels = targetName.split('.');
  return (
    port === targetPort &&
    labels.length === targetLabels.length &&
    labels.every((label, index) => coversLabel(label, targetLabels[index] ?? '')) &&
    targetPath.join('/').startsWith(path.join('/'))
  );
}

function coversLabel(pattern: string, label: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (!label.startsWith(first)) return false;
  let at = first.length;
  for (const [index, piece] of rest.entries()) {
    const isLast = index === rest.length - 1;
    const found = isLast ? label.length - piece.length : label.indexOf(piece, at);
    if (found < at || !label.startsWith(piece, found)) return false;
    at = found + piece.length;
  }
  return at === label.length;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
