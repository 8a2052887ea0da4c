import assert from 'node:assert/strict';
import { admissionChain } from '#admission/chain.ts';
import { ensureBootstrapObjects } from '#apiserver/bootstrap.ts';
import { discoveryPaths } from '#apiserver/discovery/discovery.ts';
import { startApiServer, type ApiServer } from '#apiserver/server.ts';
import { mastersAuthorizer } from '#auth/authorization/always-allow.ts';
import { union } from '#auth/authorization/authorizer.ts';
import { followRoles } from '#auth/authorization/follow.ts';
import { reconcileBootstrapPolicy } from '#auth/authorization/policy/bootstrap-policy.ts';
import { rbacAuthorizer } from '#auth/authorization/rbac.ts';
import { loopbackAdmin, serviceAccountUser, type User } from '#auth/user.ts';
import { systemClock, type Clock } from '#base/clock.ts';
import { Lifetime } from '#base/lifetime.ts';
import type { Log } from '#base/log.ts';
import { seededRandom } from '#base/random.ts';
import { isReason } from '#api/machinery/errors.ts';
import type { ApiObject, Kind } from '#api/machinery/kind.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ClusterRole } from '#api/rbac/v1/cluster-role.ts';
import { ClusterRoleBinding } from '#api/rbac/v1/cluster-role-binding.ts';
import { Role } from '#api/rbac/v1/role.ts';
import { RoleBinding } from '#api/rbac/v1/role-binding.ts';
import type { Client } from '#client/client.ts';
import { openInformers, type Informers } from '#client/informers.ts';
import { inProcessClient } from '#client/in-process.ts';
import { isNamespaceTerminating } from '#controllers/apply.ts';
import type { ControllerSettings } from '#controllers/controller.ts';
import { optionalControllers, startControllers } from '#controllers/controllers.ts';
import { openMemoryStorage } from '#storage/memory/memory-storage.ts';

/** An API server in memory with controllers, and a stand-in for scheduler and nodes: pods run, and stop when deleted. */
export interface ControlPlane extends AsyncDisposable {
  readonly client: Client;
  readonly informers: Informers;
  readonly server: ApiServer;
  /** Resolves with what `find` returns as soon as it returns something, looked up at every change of the kind. */
  until<Type extends ApiObject, Found>(
    kind: Kind<Type>,
    find: (objects: ReadonlyMap<string, Type>) => Found | undefined | false,
  ): Promise<Found>;
}

export interface ControlPlaneOptions {
  /** Only these controllers. */
  readonly only?: readonly string[];
  /** False: pods are left alone. */
  readonly nodes?: boolean;
  readonly clock?: Clock;
  readonly settings?: Partial<ControllerSettings>;
  /** What is served; upstream's default without. */
  readonly kinds?: readonly Kind[];
}

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const lifetime = new Lifetime();
  try {
    return await assemble(lifetime, options);
  } catch (error) {
    // What was opened by then would keep the test running.
    await lifetime[Symbol.asyncDispose]();
    throw error;
  }
}

async function assemble(lifetime: Lifetime, options: ControlPlaneOptions): Promise<ControlPlane> {
  const { only, nodes = true, clock = systemClock, settings = {}, kinds } = options;
  const denials: string[] = [];
  const log = denialLog(denials);
  const random = seededRandom(7);
  const started = Promise.withResolvers<ApiServer>();
  // Admission reads through the server that it is a part of.
  const clientOf = (user: User) =>
    inProcessClient<User>(async (as, request) => (await started.promise).handleAs(as, request), user);
  const client = clientOf(loopbackAdmin);
  const informers = openInformers(client, { clock, random, log });
  lifetime.defer(() => informers[Symbol.dispose]());
  const roles = followRoles(informers);
  const authorizer = union([mastersAuthorizer, rbacAuthorizer(roles.index)]);
  const server = lifetime.own(
    await startApiServer({
      ...(kinds && { kinds }),
      storage: lifetime.own(openMemoryStorage()),
      // Whoever comes from outside is the administrator: who they are is not what is tested here.
      authenticate: () => loopbackAdmin,
      authorizer,
      admission: admissionChain({ informers, client, clock, random, authorizer }),
      clock,
      random,
      log,
      serviceCIDR: '10.96.0.0/16',
      rawPaths: registry =>
        discoveryPaths({
          kinds: () => registry.kinds,
          onChange: listener => registry.onChange(listener),
          serverAddress: '127.0.0.1:6443',
        }),
    }),
  );
  started.resolve(server);
  await reconcileBootstrapPolicy(client, undefined, kinds && { optional: optionalControllers(kinds) });
  await roles.synced;
  // What has just been written has to be in the copies, or the first requests of the controllers are refused.
  for (const kind of [ClusterRole, ClusterRoleBinding, Role, RoleBinding] as unknown as Kind[]) {
    const { items } = await client.list(kind);
    const newest = Math.max(0, ...items.map(({ metadata }) => Number(metadata.resourceVersion)));
    await informers.of(kind).reached(String(newest));
  }
  await ensureBootstrapObjects(client, server.seed, {
    serviceCIDR: '10.96.0.0/16',
    serviceIP: '10.96.0.1',
    advertise: undefined,
    isAlone: true,
  });
  lifetime.own(
    startControllers({
      client,
      clientFor: account => clientOf(serviceAccountUser('kube-system', account)),
      informers,
      clock,
      random,
      log,
      settings: { caCertPem: 'certificate', ...settings },
      ...(only && { only }),
      ...(kinds && { serves: kind => kinds.includes(kind) }),
    }),
  );
  if (nodes) runPods(client, informers);
  return {
    client,
    informers,
    server,
    until(kind, find) {
      const informer = informers.of(kind);
      return new Promise(resolve => {
        let unsubscribe: (() => void) | undefined;
        const look = () => {
          const found = informer.hasSynced && find(informer.objects);
          if (found === undefined || found === false) return;
          resolve(found);
          // Handlers may run before the subscription is known.
          queueMicrotask(() => unsubscribe?.());
        };
        unsubscribe = informer.subscribe({ added: look, updated: look, deleted: look });
        void informer.synced.then(look, () => undefined);
      });
    },
    async [Symbol.asyncDispose]() {
      await lifetime[Symbol.asyncDispose]();
      assert.deepEqual(denials, [], 'a controller did what its role does not allow');
    },
  };
}

/** Notes what was forbidden: upstream's role of each controller has to be enough for it. */
function denialLog(denials: string[]): Log {
  const note = (_message: string, fields: Readonly<Record<string, unknown>> = {}) => {
    const { error } = fields;
    if (
      isReason(error, 'Forbidden') &&
      !isNamespaceTerminating(error) &&
      !error.message.includes('error looking up service account')
    )
      denials.push(error.message);
  };
  const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log };
  return log;
}

/** Binds pods to a node, gives them an address, calls them ready, and ends them when they are deleted. */
function runPods(client: Client, informers: Informers): void {
  let address = 0;
  const run = async (pod: Pod) => {
    const { name = '', namespace = '' } = pod.metadata;
    const where = { namespace };
    if (pod.metadata.deletionTimestamp !== undefined) {
      await client.delete(Pod, name, { ...where, gracePeriodSeconds: 0 });
      return;
    }
    if (pod.status?.phase === 'Running' || pod.spec?.nodeName !== undefined) return;
    const binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name },
      target: { kind: 'Node', name: nodeFor(pod) },
    };
    await client.createSubresource(Pod, name, 'binding', binding, where);
    const image = pod.spec?.containers[0]?.image;
    if (image === 'succeeds' || image === 'fails') {
      const phase = image === 'succeeds' ? 'Succeeded' : 'Failed';
      await client.patch(
        Pod,
        name,
        { type: 'merge', patch: { status: { phase } } },
        { ...where, subresource: 'status' },
      );
      return;
    }
    const podIP = `10.0.${address >> 8}.${address++ & 255}`;
    const patch = {
      status: {
        phase: 'Running',
        podIP,
        podIPs: [{ ip: podIP }],
        conditions: [
          { type: 'Ready', status: 'True', lastTransitionTime: new Date().toISOString().replace(/\.\d+/, '') },
        ],
      },
    };
    await client.patch(Pod, name, { type: 'merge', patch }, { ...where, subresource: 'status' });
  };
  const running = new Set<string>();
  const start = (pod: Pod) => {
    const id = `${pod.metadata.uid} ${pod.metadata.deletionTimestamp !== undefined}`;
    if (running.has(id)) return;
    running.add(id);
    // A pod that is gone meanwhile needs nothing.
    run(pod).catch(() => undefined);
  };
  informers.of(Pod).subscribe({ added: start, updated: start });
}

/** Where a daemon's pod has to go; any other goes anywhere. */
function nodeFor({ spec }: Pod): string {
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required?.nodeSelectorTerms?.[0]?.matchFields?.[0]?.values?.[0] ?? 'node-1';
}
