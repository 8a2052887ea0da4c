import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import { defaultObject } from '#api/machinery/defaults.ts';
import { isReason } from '#api/machinery/errors.ts';
import { FlowSchema } from '#api/flowcontrol/v1/flow-schema.ts';
import { PriorityLevelConfiguration } from '#api/flowcontrol/v1/priority-level-configuration.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind, type Partly } from '#api/machinery/kind.ts';
import type { Client } from '#client/client.ts';
import type { Seed } from '../seed.ts';
import { autoUpdateAnnotation, flowSchemaPresets, priorityLevelPresets } from './bootstrap-configuration.ts';

interface Preset {
  readonly name: string;
  readonly spec: unknown;
  readonly mandatory: boolean;
}

type Configuration = ApiObject & { readonly spec: unknown };

/** Upstream looks once a minute whether what it ships is still there. */
const periodMs = 60_000;

/** Puts upstream's levels and schemas into the store where they are missing, and brings those up to date that nobody changed. */
export async function ensureFlowControlConfiguration(client: Client, seed: Seed): Promise<void> {
  await ensureAll(client, PriorityLevelConfiguration as unknown as Kind<Configuration>, priorityLevelPresets, seed);
  await ensureAll(client, FlowSchema as unknown as Kind<Configuration>, flowSchemaPresets, seed);
}

/** Goes on doing so. The returned function ends it. */
export function keepFlowControlConfiguration(client: Client, seed: Seed, clock: Clock, log: Log): () => void {
  const tick = () => {
    cancel = clock.after(periodMs, tick);
    ensureFlowControlConfiguration(client, seed).catch((error: unknown) =>
      log.warn('cannot keep the configuration of priority and fairness', { error }),
    );
  };
  let cancel = clock.after(periodMs, tick);
  return () => cancel();
}

async function ensureAll(
  client: Client,
  kind: Kind<Configuration>,
  presets: readonly Preset[],
  seed: Seed,
): Promise<void> {
  const { items } = await client.list(kind);
  const stored = new Map(items.map(each => [each.metadata.name as string, each]));
  for (const preset of presets) {
    const current = stored.get(preset.name);
    if (current) await bringUpToDate(client, kind, preset, current);
    else await seed(kind, objectOf(preset));
  }
  // What an earlier version shipped and nobody made their own.
  for (const object of items) {
    const shipped = presets.some(({ name }) => name === object.metadata.name);
    if (shipped || object.metadata.annotations?.[autoUpdateAnnotation] !== 'true') continue;
    const { resourceVersion = '' } = object.metadata;
    await tolerant(client.delete(kind, object.metadata.name as string, { preconditions: { resourceVersion } }));
  }
}

function objectOf({ name, spec }: Preset): Partly<Configuration> {
  return { metadata: { name, annotations: { [autoUpdateAnnotation]: 'true' } }, spec } as Partly<Configuration>;
}

async function bringUpToDate(
  client: Client,
  kind: Kind<Configuration>,
  preset: Preset,
  current: Configuration,
): Promise<void> {
  const updates = preset.mandatory || followsUs(current);
  const annotation = current.metadata.annotations?.[autoUpdateAnnotation];
  const specDiffers = updates && !isAsShipped(kind, preset, current);
  if (!specDiffers && annotation === String(updates)) return;
  const { annotations } = current.metadata;
  await tolerant(
    client.update(kind, {
      ...current,
      metadata: { ...current.metadata, annotations: { ...annotations, [autoUpdateAnnotation]: String(updates) } },
      ...(specDiffers && { spec: preset.spec }),
    }),
  );
}

/** Without the annotation an object counts as ours while nobody has changed its spec. */
function followsUs({ metadata }: Configuration): boolean {
  const value = metadata.annotations?.[autoUpdateAnnotation];
  if (value === 'true' || value === 'false') return value === 'true';
  return metadata.generation === 1;
}

function isAsShipped(kind: Kind<Configuration>, preset: Preset, current: Configuration): boolean {
  const { name, spec } = preset;
  // How much the exempt level lends is the administrator's business.
  if (kind.kind === 'PriorityLevelConfiguration' && name === 'exempt')
    return (current.spec as { readonly type?: string }).type === 'Exempt';
  const wanted = {
    apiVersion: apiVersionOf(kind),
    kind: kind.kind,
    metadata: { name },
    spec: JSON.parse(JSON.stringify(spec)) as unknown,
  } as Draft<Configuration>;
  defaultObject(kind as unknown as Kind, wanted as never);
  return isDeepStrictEqual(wanted.spec, current.spec);
}

/** Another server was faster; there is another time. */
async function tolerant(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isReason(error, 'Conflict') && !isReason(error, 'NotFound')) throw error;
  }
}
