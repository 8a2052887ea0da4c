import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { Agent, request as httpsRequest } from 'node:https';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { ConfigMap } from '#api/core/v1/config-map.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { ServiceAccount } from '#api/core/v1/service-account.ts';
import { httpsClient, type HttpsClient, type HttpsClientOptions } from '#client/https.ts';
import { readKubeconfig } from '#client/kubeconfig.ts';
import { eventually } from '../scenarios/eventually.ts';

/**
 * Equivalents of the official conformance tests, named by their official code names, against the cluster that the
 * environment names (`run.ts` starts one and sets it). A file describes the tests of one file of upstream's test/e2e:
 *
 *     conformance(it => {
 *       it('[sig-auth] ServiceAccounts should … [Conformance]', async ({ client, namespace }) => { … });
 *     });
 *
 * The tests of a file run beside each other, each in a namespace of its own; those with `[Serial]` in their names run
 * alone, after all others. `slow: true` keeps one out of `npm test`.
 */
export function conformance(define: (it: Define) => void): void {
  const { kubeconfig, registry, phase, quick, only, except } = environment();
  const tests: { name: string; body: (t: Trial) => Promise<void>; timeoutMs: number }[] = [];
  define((name, body, { slow = false, timeoutMs = timeoutDefaultMs } = {}) => {
    if (name.includes('[Serial]') !== (phase === 'serial')) return;
    if (quick && slow) return;
    if (only !== '' && !name.includes(only)) return;
    if (except !== '' && name.includes(except)) return;
    tests.push({ name, body, timeoutMs });
  });
  if (tests.length === 0) return;
  describe('', { concurrency: phase === 'serial' ? 1 : testsAtOnce }, () => {
    let shared: Promise<Shared> | undefined;
    after(async () => {
      await (await shared)?.close();
    });
    for (const { name, body, timeoutMs } of tests)
      test(name, { timeout: timeoutMs }, async () => {
        shared ??= open(kubeconfig, registry);
        await using trial = await (await shared).trial();
        await body(trial);
      });
  });
}

export type Define = (name: string, body: (t: Trial) => Promise<void>, options?: TestOptions) => void;

export interface TestOptions {
  /** Not in `npm test`. */
  readonly slow?: boolean;
  readonly timeoutMs?: number;
}

/** What a test works with. */
export interface Trial {
  /** With every right. */
  readonly client: HttpsClient;
  /** Its own, with the default ServiceAccount and the root CA there; deleted behind it. */
  readonly namespace: string;
  /** A further namespace, deleted behind the test. */
  makeNamespace(labels?: Readonly<Record<string, string>>): Promise<string>;
  /** A client with other credentials: a token, a certificate, or none. */
  as(credentials: Pick<HttpsClientOptions, 'token' | 'certPem' | 'keyPem'>): HttpsClient;
  /** A request as it is, as admin (or with other headers: `impersonate-user`), and its answer as it comes. */
  request(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  /** In the test's namespace. Resolves with what it writes to stdout, rejects when it fails. */
  kubectl(...words: readonly string[]): Promise<string>;
  /** The same with text at its stdin. */
  kubectlWith(input: string, ...words: readonly string[]): Promise<string>;
  /** `image('web:v1')`: one of the project's images (tools/images.ts), in the registry of the run. */
  image(name: string): string;
  /** Unlike every other name of the run: `web-4f2a91`. */
  unique(base: string): string;
  /** Something to be undone after the test, last first. */
  defer(undo: () => unknown): void;
  eventually: typeof eventually;
}

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** An object is sent as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
}

export interface Answer {
  readonly code: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
  /** The body as JSON. */
  json<Value>(): Value;
}

const run = promisify(execFile);
const testsAtOnce = 4;
const timeoutDefaultMs = 300_000;
const outputBytesMax = 1 << 26;

function environment() {
  const { CONFORMANCE_KUBECONFIG: kubeconfig, CONFORMANCE_REGISTRY: registry = '' } = process.env;
  if (kubeconfig === undefined) throw new Error('there is no cluster to test: npm run conformance -- --help');
  return {
    kubeconfig,
    registry,
    phase: process.env.CONFORMANCE_PHASE,
    quick: process.env.CONFORMANCE_QUICK === '1',
    only: process.env.CONFORMANCE_ONLY ?? '',
    except: process.env.CONFORMANCE_EXCEPT ?? '',
  };
}

interface Shared {
  trial(): Promise<Trial & AsyncDisposable>;
  close(): Promise<void>;
}

async function open(kubeconfig: string, registry: string): Promise<Shared> {
  const { connection } = await readKubeconfig(kubeconfig);
  const client = httpsClient(connection);
  const { server, caPem, certPem, keyPem, token } = connection;
  const agent = new Agent({ keepAlive: true, ...given({ ca: caPem, cert: certPem, key: keyPem }) });

  const makeNamespace = async (name: string, labels: Readonly<Record<string, string>>) => {
    await client.create(Namespace, { metadata: { name, labels } });
    // As upstream's framework: a pod needs both.
    await eventually(`namespace ${name} is furnished`, async () => {
      await client.get(ServiceAccount, 'default', { namespace: name });
      return client.get(ConfigMap, 'kube-root-ca.crt', { namespace: name });
    });
    return name;
  };

  return {
    async trial() {
      const undo: (() => unknown)[] = [];
      const unique = (base: string) => `${base}-${randomUUID().slice(0, 6)}`;
      const furnished = async (labels: Readonly<Record<string, string>> = {}) => {
        const name = await makeNamespace(unique('conformance'), labels);
        undo.push(() => client.delete(Namespace, name));
        return name;
      };
      const namespace = await furnished({ 'e2e-framework': 'conformance' });
      const kubectlWith = async (input: string | undefined, words: readonly string[]) => {
        const running = run('kubectl', ['--kubeconfig', kubeconfig, '--namespace', namespace, ...words], {
          maxBuffer: outputBytesMax,
        });
        running.child.stdin?.end(input);
        return (await running).stdout;
      };
      return {
        client,
        namespace,
        unique,
        eventually,
        makeNamespace: furnished,
        image: name => `${registry}/${name}`,
        defer: what => void undo.push(what),
        kubectl: (...words) => kubectlWith(undefined, words),
        kubectlWith: (input, ...words) => kubectlWith(input, words),
        as(credentials) {
          const other = httpsClient({ server, ...given({ caPem }), ...credentials });
          undo.push(() => other[Symbol.asyncDispose]());
          return other;
        },
        request: (method, path, options = {}) =>
          ask(`${server}${path}`, agent, method, {
            ...options,
            headers: { ...(token && { authorization: `Bearer ${token}` }), ...options.headers },
          }),
        async [Symbol.asyncDispose]() {
          for (const each of undo.toReversed()) await each();
        },
      };
    },
    async close() {
      agent.destroy();
      await client[Symbol.asyncDispose]();
    },
  };
}

function given<Values extends object>(values: Values): { [Name in keyof Values]?: NonNullable<Values[Name]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;
}

function ask(url: string, agent: Agent, method: string, options: RequestOptions): Promise<Answer> {
  const { body, contentType = 'application/json', headers } = options;
  const bytes = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const asked = httpsRequest(
      url,
      {
        method,
        agent,
        headers: {
          ...headers,
          ...(bytes !== undefined && { 'content-type': contentType, 'content-length': Buffer.byteLength(bytes) }),
        },
      },
      response => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(pieces).toString();
          resolve({
            code: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: <Value>() => JSON.parse(text) as Value,
          });
        });
      },
    );
    asked.on('error', reject);
    asked.end(bytes);
  });
}
