import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { Pod } from '#api/core/v1/pod.ts';
import type { Container, ExecAction, HTTPGetAction, TCPSocketAction } from '#api/core/v1/pod-spec.ts';
import { kubernetesVersion } from '#api/machinery/version.ts';
import { isRuntimeError, type RuntimeService } from '#runtime/runtime.ts';

/** What a probe or hook found out. */
export interface Finding {
  readonly ok: boolean;
  readonly output: string;
  /** It counts as good, but whoever made the probe should know what was said. */
  readonly isWarning?: true;
}

export interface Target {
  readonly pod: Pod;
  readonly container: Container;
  readonly containerId: string;
  readonly podIp: string;
  readonly runtime: Pick<RuntimeService, 'execSync'>;
}

/** What a message or body may hold of what a container says (upstream: 10 KiB). */
const outputBytesMax = 10 * 1024;
const redirectsMax = 10;

export async function runExec(
  { command = [] }: ExecAction,
  { runtime, containerId }: Target,
  timeoutSeconds: number,
  signal?: AbortSignal,
): Promise<Finding> {
  try {
    const { exitCode, stdout, stderr } = await runtime.execSync(containerId, command, timeoutSeconds, signal);
    const output = Buffer.concat([stdout, stderr]).subarray(0, outputBytesMax).toString();
    return { ok: exitCode === 0, output };
  } catch (error) {
    if (isRuntimeError(error, 'DeadlineExceeded'))
      return {
        ok: false,
        output: `command timed out: ${JSON.stringify(command.join(' '))} timed out after ${timeoutSeconds}s`,
      };
    return { ok: false, output: error instanceof Error ? error.message : String(error) };
  }
}

export function runHttp(
  action: HTTPGetAction,
  target: Target,
  timeoutMs: number,
  userAgent: 'kube-probe' | 'kube-lifecycle',
): Promise<Finding> {
  const port = portOf(action.port, target.container);
  if (port === undefined) return Promise.resolve(unknownPort(action.port));
  const scheme = (action.scheme || 'HTTP').toLowerCase() as 'http' | 'https';
  const host = action.host || target.podIp;
  const path = action.path?.startsWith('/') ? action.path : `/${action.path ?? ''}`;
  const url = `${scheme}://${hostPort(host, port)}${path}`;
  const version = `${kubernetesVersion.major}.${kubernetesVersion.minor}`;
  const headers: Record<string, string[]> = {
    'User-Agent': [`${userAgent}/${version}`],
    Accept: ['*/*'],
    Connection: ['close'],
  };
  const names = new Set<string>();
  for (const { name, value } of action.httpHeaders ?? []) {
    const known = Object.keys(headers).find(each => each.toLowerCase() === name.toLowerCase()) ?? name;
    // The first one replaces the default, further ones add to it.
    headers[known] = names.has(known) ? [...(headers[known] ?? []), value] : [value];
    names.add(known);
  }
  const { Host, ...several } = Object.fromEntries(
    Object.entries(headers).map(([name, values]) => [name.toLowerCase() === 'host' ? 'Host' : name, values]),
  );
  return fetchOnce(url, { ...several, ...(Host?.[0] !== undefined && { Host: Host[0] }) }, timeoutMs, redirectsMax);
}

function redirected(location: string, from: URL): URL | undefined {
  return URL.canParse(location, from) ? new URL(location, from) : undefined;
}

function fetchOnce(
  url: string,
  headers: Readonly<Record<string, string | string[]>>,
  timeoutMs: number,
  redirectsLeft: number,
): Promise<Finding> {
  const { promise, resolve } = Promise.withResolvers<Finding>();
  const fail = (why: string) => resolve({ ok: false, output: `Get ${JSON.stringify(url)}: ${why}` });
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return Promise.resolve({ ok: false, output: `parse ${JSON.stringify(url)}: invalid URL` });
  }
  const options = { headers, agent: false as const, rejectUnauthorized: false, timeout: timeoutMs };
  const request = (parsed.protocol === 'https:' ? https : http).get(parsed, options, response => {
    const status = response.statusCode ?? 0;
    const location = response.headers.location;
    // Another host is not the pod's: the redirect is the answer, and nobody is sent there.
    const next = status >= 301 && status <= 308 && location ? redirected(location, parsed) : undefined;
    if (next?.hostname === parsed.hostname) {
      clean();
      response.destroy();
      if (redirectsLeft > 0) resolve(fetchOnce(next.href, headers, timeoutMs, redirectsLeft - 1));
      else fail(`stopped after ${redirectsMax} redirects`);
      return;
    }
    const chunks: Buffer[] = [];
    let length = 0;
    const finish = () => {
      clean();
      const body = Buffer.concat(chunks).toString();
      if (status < 200 || status >= 400) resolve({ ok: false, output: `HTTP probe failed with statuscode: ${status}` });
      else if (status < 300) resolve({ ok: true, output: body });
      else resolve({ ok: true, output: `Probe terminated redirects, Response body: ${body}`, isWarning: true });
      response.destroy();
    };
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk.subarray(0, outputBytesMax - length));
      length += chunk.length;
      if (length >= outputBytesMax) finish();
    });
    response.on('end', finish);
    response.on('error', () => finish());
  });
  const expired = AbortSignal.timeout(timeoutMs);
  const onExpired = () => {
    fail('context deadline exceeded (Client.Timeout exceeded while awaiting headers)');
    request.destroy();
  };
  expired.addEventListener('abort', onExpired, { once: true });
  const clean = () => expired.removeEventListener('abort', onExpired);
  request.on('error', error => {
    clean();
    fail(dialText(error, parsed.hostname, Number(parsed.port)));
  });
  return promise;
}

export function runTcp(action: TCPSocketAction, target: Target, timeoutMs: number): Promise<Finding> {
  const port = portOf(action.port, target.container);
  if (port === undefined) return Promise.resolve(unknownPort(action.port));
  const host = action.host || target.podIp;
  const { promise, resolve } = Promise.withResolvers<Finding>();
  const socket = net.connect({ host, port });
  socket.setTimeout(timeoutMs);
  socket.on('connect', () => resolve({ ok: true, output: '' }));
  socket.on('timeout', () => resolve({ ok: false, output: `dial tcp ${hostPort(host, port)}: i/o timeout` }));
  socket.on('error', error => resolve({ ok: false, output: dialText(error, host, port) }));
  return promise.finally(() => socket.destroy());
}

/** A port by number, or by its name among the container's. */
export function portOf(port: number | string, container: Container): number | undefined {
  if (typeof port === 'number') return port;
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  if (named !== undefined) return named;
  return /^[0-9]+$/.test(port) ? Number(port) : undefined;
}

function unknownPort(port: number | string): Finding {
  return { ok: false, output: `couldn't find port ${JSON.stringify(port)}` };
}

export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

const connectErrors: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connect: connection refused',
  EHOSTUNREACH: 'connect: no route to host',
  ENETUNREACH: 'connect: network is unreachable',
  ETIMEDOUT: 'i/o timeout',
};

/** In the words of Go's dialer, which people know from their Events. */
function dialText(error: Error, host: string, port: number): string {
  const code = 'code' in error ? String(error.code) : '';
  if (code === 'ECONNRESET') return 'EOF';
  const known = connectErrors[code];
  return known ? `dial tcp ${hostPort(host.replace(/^\[|\]$/g, ''), port)}: ${known}` : error.message;
}
