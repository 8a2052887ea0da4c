import { RuntimeError } from '../../runtime.ts';
import { checkDigest } from './manifest.ts';

/** An image's name in full: `docker.io/library/busybox:latest`. */
export interface Reference {
  /** The registry's host, as in names: `docker.io`, `localhost:5000`. */
  readonly host: string;
  /** `library/busybox` */
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: string;
}

/** Reads a name as people write it; short ones are Docker Hub's, and no tag means `latest`. */
export function parseReference(text: string): Reference {
  if (text.length > nameCharactersMax) throw invalid(`${text.slice(0, 60)}…`);
  const [name = '', digest, ...more] = text.split('@');
  if (more.length > 0) throw invalid(text);
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const hasHost = slash > 0 && (first.includes('.') || first.includes(':') || first === 'localhost');
  const host = hasHost ? first : 'docker.io';
  const rest = hasHost ? name.slice(slash + 1) : name;
  const colon = rest.lastIndexOf(':');
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const tag = colon < 0 ? (digest === undefined ? 'latest' : undefined) : rest.slice(colon + 1);
  const isHub = host === 'docker.io' || host === 'index.docker.io';
  const repository = isHub && !path.includes('/') ? `library/${path}` : path;
  if (!repositoryPattern.test(repository) || !hostPattern.test(host) || repository.length > 255) throw invalid(text);
  if (tag !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(tag)) throw invalid(text);
  if (digest !== undefined) checkDigest(digest);
  return {
    host: isHub ? 'docker.io' : host,
    repository,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

const repositoryPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const hostPattern = /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]|\.(?=[A-Za-z0-9]))*|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/;
const nameCharactersMax = 512;

/** `host/repository:tag` */
export function tagName({ host, repository, tag }: Reference): string | undefined {
  return tag === undefined ? undefined : `${host}/${repository}:${tag}`;
}

/** `host/repository@sha256:…` */
export function digestName({ host, repository }: Reference, digest: string): string {
  return `${host}/${repository}@${digest}`;
}

/** Whether a host name can only mean this machine; Docker too takes such registries without TLS. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '');
  return name === 'localhost' || name === '[::1]' || /^127(\.\d{1,3}){3}$/.test(name);
}

function invalid(text: string): RuntimeError {
  return new RuntimeError('InvalidArgument', `couldn't parse image name "${text}": invalid reference format`);
}
