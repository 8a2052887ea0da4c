import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { ApiError } from '#api/machinery/errors.ts';
import { newKeyPem } from '#auth/certificates/certificate.ts';
import { issueAuthority } from '#auth/certificates/issue.ts';
import type { User } from '#auth/user.ts';
import { answerOf, requestOf, type Answer } from '#apiserver/test-server.ts';
import { startControlPlane, type ControlPlane, type ControlPlaneOptions } from '#cluster/control-plane.ts';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';

/** The real control plane without sockets, as it stands in a cluster; time stands still until the test moves it. */
export interface Plane extends AsyncDisposable {
  readonly plane: ControlPlane;
  readonly clock: ManualClock;
  /** A request as it comes from outside: its headers say who makes it. */
  ask(method: Method, path: string, headers?: Record<string, string>, body?: unknown): Promise<Answer>;
  /** A request by a user who has proved who they are. */
  askAs(user: User, method: Method, path: string, body?: unknown): Promise<Answer>;
  /** As the administrator; throws when it is refused. */
  // oxlint-disable-next-line typescript/no-explicit-any
  make(path: string, body: unknown): Promise<any>;
}

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export const admin: User = { name: 'kubernetes-admin', groups: ['system:masters', 'system:authenticated'] };

export async function openPlane(options: Partial<ControlPlaneOptions> = {}): Promise<Plane> {
  const clock = new ManualClock();
  const random = seededRandom(1);
  const storage = openMemoryStorage();
  const authority = await issueAuthority({ commonName: 'windlass', validForMs: 365 * 86_400_000 }, { clock, random });
  const plane = await startControlPlane({
    storage,
    credentials: { caCertPem: authority.certPem, caKeyPem: authority.keyPem, serviceAccountKeyPem: newKeyPem() },
    clock,
    random,
    log: silentLog,
    podCIDR: '10.244.0.0/16',
    serviceCIDR: '10.96.0.0/16',
    serviceIP: '10.96.0.1',
    clusterDomain: 'cluster.local',
    advertise: undefined,
    ...options,
  });
  const { apiServer } = plane;
  const askAs: Plane['askAs'] = async (user, method, path, body) => {
    // A watch that is let in answers at once and goes on; the question here is whether it is.
    const abort = new AbortController();
    const answer = await answerOf(
      await apiServer.handleAs(user, requestOf(method, path, body, contentTypeOf(method), abort.signal)),
    );
    abort.abort();
    return answer;
  };
  return {
    plane,
    clock,
    askAs,
    async ask(method, path, headers = {}, body) {
      return answerOf(await apiServer.handle(requestOf(method, path, body, { ...contentTypeOf(method), ...headers })));
    },
    async make(path, body) {
      const answer = await askAs(admin, 'POST', path, body);
      if (answer.code !== 201) throw new Error(`cannot make ${path}: ${answer.text}`, { cause: ApiError });
      return answer.body;
    },
    async [Symbol.asyncDispose]() {
      await plane[Symbol.asyncDispose]();
      await storage[Symbol.asyncDispose]();
    },
  };
}

function contentTypeOf(method: Method): Record<string, string> {
  return method === 'PATCH' ? { 'content-type': 'application/merge-patch+json' } : {};
}

/** Waits for what comes without the clock: an informer that follows. */
export async function eventually(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise(resolve => setImmediate(resolve));
}
