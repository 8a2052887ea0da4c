import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { load } from 'js-yaml';
import { type AuthConfig, RuntimeError } from '../../runtime.ts';
import { isLoopback } from './reference.ts';

/**
 * Where images come from, in the form that k3s users know:
 *
 *     mirrors:
 *       docker.io: { endpoint: [http://mirror.local:5000] }
 *     configs:
 *       registry.example.com: { auth: { username: u, password: p }, tls: { ca_file: /ca.pem } }
 *
 * A mirror for `*` serves every registry. An endpoint with `http://` is spoken to without TLS.
 */
export interface Registries {
  readonly mirrors: ReadonlyMap<string, readonly string[]>;
  readonly hosts: ReadonlyMap<string, HostConfig>;
}

export interface HostConfig {
  readonly auth?: AuthConfig;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly insecureSkipVerify?: boolean;
  /** A way to a port of the machine's loopback, for a node whose own loopback is another. */
  readonly connectLoopback?: ((port: number) => Promise<Duplex>) | undefined;
}

/** One address to try, in order. */
export interface Endpoint {
  readonly url: URL;
  /** True for the registry that the name says; only it gets the pod's pull secrets. */
  readonly isOrigin: boolean;
  readonly config: HostConfig;
}

export const noRegistries: Registries = { mirrors: new Map(), hosts: new Map() };

export function readRegistries(file: string): Registries {
  try {
    return parseRegistries(load(readFileSync(file, 'utf8')), name => readFileSync(name, 'utf8'));
  } catch (cause) {
    if (cause instanceof RuntimeError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new RuntimeError('InvalidArgument', `cannot read the registries file ${file}: ${why}`, { cause });
  }
}

export function parseRegistries(value: unknown, readFile: (name: string) => string): Registries {
  const { mirrors, configs } = asObject(value ?? {}, 'the registries file');
  return {
    mirrors: new Map(
      Object.entries(asObject(mirrors ?? {}, 'mirrors')).map(([host, mirror]) => [
        host,
        endpointsOf(asObject(mirror, `mirrors.${host}`).endpoint, host),
      ]),
    ),
    hosts: new Map(
      Object.entries(asObject(configs ?? {}, 'configs')).map(([host, config]) => [
        host,
        hostConfig(asObject(config, `configs.${host}`), host, readFile),
      ]),
    ),
  };
}

function endpointsOf(value: unknown, host: string): string[] {
  const list = Array.isArray(value) ? value : [];
  return list.map(entry => {
    if (typeof entry === 'string' && /^https?:\/\//.test(entry) && URL.canParse(entry)) return entry;
    throw new RuntimeError(
      'InvalidArgument',
      `mirrors.${host}.endpoint: ${JSON.stringify(entry)} is not an http(s) URL`,
    );
  });
}

function hostConfig(value: Record<string, unknown>, host: string, readFile: (name: string) => string): HostConfig {
  const auth = asObject(value.auth ?? {}, `configs.${host}.auth`);
  const tls = asObject(value.tls ?? {}, `configs.${host}.tls`);
  const file = (name: string) => (typeof tls[name] === 'string' ? readFile(tls[name]) : undefined);
  const word = (name: string) => (typeof auth[name] === 'string' ? auth[name] : undefined);
  const [ca, cert, key] = [file('ca_file'), file('cert_file'), file('key_file')];
  return {
    ...(value.auth
      ? {
          auth: {
            username: word('username'),
            password: word('password'),
            auth: word('auth'),
            identityToken: word('identity_token'),
          },
        }
      : {}),
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(tls.insecure_skip_verify === true ? { insecureSkipVerify: true } : {}),
  };
}

/** The mirrors of a registry, then the registry itself. */
export function endpointsFor(registries: Registries, host: string): Endpoint[] {
  const mirrors = registries.mirrors.get(host) ?? registries.mirrors.get('*') ?? [];
  const configOf = (name: string) => registries.hosts.get(name) ?? {};
  const listed = mirrors.map(text => {
    const url = new URL(text);
    return { url, isOrigin: url.host === host, config: configOf(url.host) };
  });
  if (listed.some(endpoint => endpoint.isOrigin)) return listed;
  const scheme = isLoopback(host) ? 'http' : 'https';
  const address = host === 'docker.io' ? 'registry-1.docker.io' : host;
  return [...listed, { url: new URL(`${scheme}://${address}`), isOrigin: true, config: configOf(host) }];
}

function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new RuntimeError('InvalidArgument', `${what} is not a map`);
}
