import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { isReason } from '#api/machinery/errors.ts';
import { FlowSchema } from '#api/flowcontrol/v1/flow-schema.ts';
import { PriorityLevelConfiguration } from '#api/flowcontrol/v1/priority-level-configuration.ts';
import { apiVersionOf } from '#api/machinery/kind.ts';
import { formatTime } from '#api/machinery/time.ts';
import type { Client } from '#client/client.ts';
import type { ResourceCache } from '../cache/resource-cache.ts';
import type { WatchCache } from '../cache/watch-cache.ts';
import type { FlowControl } from './flow-control.ts';

export interface FollowOptions {
  readonly flowControl: FlowControl;
  readonly cache: WatchCache;
  readonly levels: ResourceCache;
  readonly schemas: ResourceCache;
  /** Writes the conditions of schemas. */
  readonly client: Client;
  readonly clock: Clock;
  readonly log: Log;
}

/** Changes come in bursts, at the start above all; and then nobody waits for what is written about them. */
const settleMs = 20;
const writeAfterMs = 1_000;
const fieldManager = 'api-priority-and-fairness-config-consumer-v1';
/** Upstream stops for a while when others go on undoing what it writes. */
const updatesPerMinuteMax = 6;

/** Keeps flow control at what is stored, and says in each schema whether its level exists. The returned function ends it. */
export function followConfiguration(options: FollowOptions): () => void {
  const { flowControl, cache, levels, schemas, client, clock, log } = options;
  const written = new Map<string, number[]>();
  let cancel: (() => void) | undefined;
  let cancelWrites: (() => void) | undefined;
  let ended = false;

  const readLevels = () => levels.all().map(({ object }) => object as PriorityLevelConfiguration);
  const readSchemas = () => schemas.all().map(({ object }) => object as FlowSchema);

  const mayWrite = (name: string): boolean => {
    const recent = (written.get(name) ?? []).filter(timeMs => timeMs > clock.now() - 60_000);
    if (recent.length >= updatesPerMinuteMax) return false;
    written.set(name, [...recent, clock.now()]);
    return true;
  };

  const writeCondition = async (schema: FlowSchema, dangling: boolean): Promise<void> => {
    const name = schema.metadata.name as string;
    if (ended || !mayWrite(name)) return;
    const condition = { ...conditionOf(schema, dangling), lastTransitionTime: formatTime(clock.now()) };
    const object = {
      apiVersion: apiVersionOf(FlowSchema),
      kind: 'FlowSchema',
      metadata: { name },
      status: { conditions: [condition] },
    };
    try {
      await client.patch(
        FlowSchema,
        name,
        { type: 'apply', object },
        { subresource: 'status', fieldManager, force: true },
      );
    } catch (error) {
      if (!ended && !isReason(error, 'NotFound')) log.warn('cannot set a condition', { schema: name, error });
    }
  };

  const digest = () => {
    cancel = undefined;
    const dangling = flowControl.configure(readLevels(), readSchemas());
    cancelWrites?.();
    cancelWrites = clock.after(writeAfterMs, () => {
      for (const schema of readSchemas()) {
        const isDangling = dangling.has(schema.metadata.name as string);
        if (!saysSo(schema, isDangling)) void writeCondition(schema, isDangling);
      }
    });
  };

  const soon = () => {
    cancel ??= clock.after(settleMs, digest);
  };
  const stopListening = cache.listen(resource => {
    if (resource === levels || resource === schemas) soon();
  });
  // What was stored before counts from the first request on.
  flowControl.configure(readLevels(), readSchemas());
  if (schemas.size > 0) soon();
  return () => {
    ended = true;
    stopListening();
    cancel?.();
    cancelWrites?.();
  };
}

function conditionOf({ spec }: FlowSchema, dangling: boolean) {
  const level = JSON.stringify(spec.priorityLevelConfiguration.name);
  const reference = `This FlowSchema references the PriorityLevelConfiguration object named ${level}`;
  return dangling
    ? {
        type: 'Dangling',
        status: 'True',
        reason: 'NotFound',
        message: `${reference} but there is no such object`,
      }
    : { type: 'Dangling', status: 'False', reason: 'Found', message: `${reference} and it exists` };
}

function saysSo(schema: FlowSchema, dangling: boolean): boolean {
  const wanted = conditionOf(schema, dangling);
  const found = (schema.status?.conditions ?? []).find(({ type }) => type === 'Dangling');
  return found?.status === wanted.status && found.reason === wanted.reason && found.message === wanted.message;
}
