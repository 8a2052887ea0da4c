import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { APIService, type APIServiceCondition } from '#api/apiregistration/v1/api-service.ts';
import { Service } from '#api/core/v1/service.ts';
import { EndpointSlice } from '#api/discovery/v1/endpoint-slice.ts';
import { isReason } from '#api/machinery/errors.ts';
import { formatTime } from '#api/machinery/time.ts';
import type { Client } from '#client/client.ts';
import { WorkQueue } from '#client/workqueue.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import type { Registry } from '../registry.ts';
import { availabilityOf, type ApiServices, type RemoteService } from './api-services.ts';
import type { Endpoints } from './endpoints.ts';
import type { AvailabilityMetrics } from './metrics.ts';
import { aggregatorUser, hostText, identityHeaders, type Remotes } from './remote.ts';

/** Upstream's rhythm: what cannot be watched (the network, the server itself) is looked at again. */
const recheckMs = 30_000;
const checkTimeoutMs = 5_000;
/** Upstream asks so many times at once; one answer is enough. */
const attempts = 5;
const workers = 5;

export interface AvailabilityParts {
  readonly client: Client;
  readonly registry: Registry;
  readonly cache: WatchCache;
  readonly apiServices: ApiServices;
  readonly endpoints: Endpoints;
  readonly remotes: Remotes;
  readonly metrics: AvailabilityMetrics;
  readonly clock: Clock;
  readonly log: Log;
}

/** Keeps the condition Available of every APIService: by service, endpoints, and by asking the server itself. */
export function startAvailability(parts: AvailabilityParts): Disposable {
  const { apiServices, cache, registry, clock, log } = parts;
  const queue = new WorkQueue<string>({ clock, retryMaxMs: recheckMs });
  const abort = new AbortController();
  const services = registry.of(Service as never).cache;
  const slices = registry.of(EndpointSlice as never).cache;
  const stops = [
    apiServices.onChange(name => queue.add(name)),
    cache.listen((changed, { entry }) => {
      if (changed !== services && changed !== slices) return;
      const { metadata } = entry.object;
      const service = changed === services ? metadata.name : metadata.labels?.['kubernetes.io/service-name'];
      for (const remote of apiServices.remotes)
        if (remote.service === service && remote.namespace === metadata.namespace) queue.add(remote.name);
    }),
  ];
  const work = async () => {
    for (let name = await queue.take(); name !== undefined; name = await queue.take()) {
      try {
        const failed = await synchronize(parts, name, abort.signal);
        if (failed) queue.retry(name);
        else queue.forget(name);
      } catch (error) {
        if (abort.signal.aborted) return;
        log.warn('cannot say whether an API service is available', { name, error });
        queue.retry(name);
      }
      if (apiServices.get(name)?.spec.service) queue.addAfter(name, recheckMs);
      queue.done(name);
    }
  };
  for (const name of apiServices.names) queue.add(name);
  for (let worker = 0; worker < workers; worker++) void work();
  return {
    [Symbol.dispose]() {
      abort.abort(new Error('the API server was closed'));
      for (const stop of stops) stop();
      queue[Symbol.dispose]();
    },
  };
}

type Finding = Pick<APIServiceCondition, 'status' | 'reason' | 'message'>;

/** True: the server did not answer and is to be asked again soon. */
async function synchronize(parts: AvailabilityParts, name: string, signal: AbortSignal): Promise<boolean> {
  const { apiServices, metrics } = parts;
  const object = apiServices.get(name);
  if (!object) {
    metrics.forget(name);
    return false;
  }
  const { group = '', version = '' } = object.spec;
  const remote = apiServices.remote(group, version);
  const finding = remote ? await examine(parts, remote, signal) : local;
  metrics.set(name, finding.status === 'True');
  await write(parts, object, finding);
  return finding.reason === 'FailedDiscoveryCheck';
}

const local: Finding = { status: 'True', reason: 'Local', message: 'Local APIServices are always available' };

async function examine(
  { endpoints, remotes }: AvailabilityParts,
  remote: RemoteService,
  signal: AbortSignal,
): Promise<Finding> {
  const { namespace, service: name, port } = remote;
  const where = `service/${name} in ${JSON.stringify(namespace)}`;
  const missing = (reason: string, message: string): Finding => ({ status: 'False', reason, message });
  const service = endpoints.service(namespace, name);
  if (!service) return missing('ServiceNotFound', `${where} is not present`);
  if ((service.spec?.type ?? 'ClusterIP') === 'ClusterIP') {
    const servicePort = (service.spec?.ports ?? []).find(each => each.port === port);
    if (!servicePort) return missing('ServicePortError', `${where} is not listening on port ${port}`);
    const slices = endpoints.slices(namespace, name);
    if (slices.length === 0) return missing('EndpointsNotFound', `cannot find endpointslices for ${where}`);
    const portName = servicePort.name ?? '';
    if (!slices.some(slice => isActive(slice, portName)))
      return missing(
        'MissingEndpoints',
        `endpointslices for ${where} have no addresses with port name ${JSON.stringify(portName)}`,
      );
  }
  const asked = Array.from({ length: attempts }, () => ask(remote, { endpoints, remotes }, signal));
  try {
    await Promise.any(asked);
  } catch (error) {
    signal.throwIfAborted();
    const [first] = (error as AggregateError).errors as Error[];
    return missing('FailedDiscoveryCheck', (first as Error).message);
  }
  return { status: 'True', reason: 'Passed', message: 'all checks passed' };
}

function isActive({ endpoints, ports }: EndpointSlice, portName: string): boolean {
  if (!(endpoints ?? []).some(each => each.conditions?.ready !== false)) return false;
  return (ports ?? []).some(each => (each.name ?? '') === portName && each.port !== undefined);
}

/** Asks for a document that every extension API server has. */
async function ask(
  remote: RemoteService,
  { endpoints, remotes }: Pick<AvailabilityParts, 'endpoints' | 'remotes'>,
  signal: AbortSignal,
): Promise<void> {
  const endpoint = endpoints.resolve(remote);
  const path = remote.group === '' ? `/api/${remote.version}` : `/apis/${remote.group}/${remote.version}`;
  const url = `https://${hostText(endpoint)}${path}`;
  try {
    const request = { path, headers: identityHeaders(aggregatorUser), timeoutMs: checkTimeoutMs };
    const { code } = await remotes.read(remotes.backend(remote, endpoint), request, signal);
    if (code < 200 || code >= 300) throw new Error(`bad status from ${url}: ${code}`);
  } catch (cause) {
    throw new Error(`failing or missing response from ${url}: ${(cause as Error).message}`, { cause });
  }
}

/** Only what differs is written: the check comes round often. */
async function write(
  { client, clock, metrics }: AvailabilityParts,
  object: APIService,
  finding: Finding,
): Promise<void> {
  const before = availabilityOf(object);
  if (before?.status === finding.status && before.reason === finding.reason && before.message === finding.message)
    return;
  const lastTransitionTime =
    before?.status === finding.status && before.lastTransitionTime !== undefined
      ? before.lastTransitionTime
      : formatTime(clock.now());
  const condition: APIServiceCondition = { type: 'Available', ...finding, lastTransitionTime };
  const others = (object.status.conditions ?? []).filter(({ type }) => type !== 'Available');
  try {
    await client.update(
      APIService,
      { ...object, status: { ...object.status, conditions: [...others, condition] } },
      { subresource: 'status' },
    );
  } catch (error) {
    // The change that came first brings us here again.
    if (isReason(error, 'Conflict') || isReason(error, 'NotFound')) return;
    throw error;
  }
  if (before?.status === 'True' && finding.status !== 'True')
    metrics.lost(object.metadata.name ?? '', finding.reason ?? 'UnknownReason');
}
