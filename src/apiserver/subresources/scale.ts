import { Scale } from '#api/autoscaling/v1/scale.ts';
import { applyObject } from '#api/machinery/apply/apply.ts';
import { errors } from '#api/machinery/errors.ts';
import { setOwn } from '#api/machinery/json.ts';
import { valueAt } from '#api/machinery/json-path.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind, type ScalePaths } from '#api/machinery/kind.ts';
import { formatLabelSelector } from '#api/machinery/selector.ts';
import type { LabelSelector } from '#api/meta/v1/label-selector.ts';
import type { ApiResponse } from '#client/transport.ts';
import { encodeProtobuf } from '#api/machinery/protobuf.ts';
import { readObject } from '../body.ts';
import { type Call, writeOptionsOf, type WriteOptions } from '../call.ts';
import { changeObject } from '../change-object.ts';
import { parentEntries, scaleEntries } from './scale-owners.ts';
import { copyOf } from '../copy.ts';
import { matchName, matchNamespace } from '../metadata.ts';
import { existing, type Resource, viewOf, viewsReady } from '../registry.ts';
import { readApply } from '../verbs/apply.ts';
import { type Patcher, patchType, readPatch } from '../verbs/patch.ts';

const scaleKind = Scale as unknown as Kind;

/** The number of replicas of any workload, in the one shape that autoscalers and `kubectl scale` know. */
export async function scale(call: Call, resource: Resource): Promise<ApiResponse> {
  const { namespace, name, verb } = call.info;
  if (verb === 'get') {
    const entry = existing(resource, namespace, name);
    await viewsReady(resource, [entry]);
    checkIsScalable(resource.kind, viewOf(resource, entry));
    return answer(call, scaleOf(resource.kind, viewOf(resource, entry)));
  }
  if (verb === 'patch' && patchType(call) === 'apply') return apply(call, resource);
  if (verb === 'patch') {
    const patch = await readPatch(call, scaleKind);
    return change(call, resource, patch.options, patch);
  }
  const options = writeOptionsOf(call, 'UpdateOptions');
  const wanted = (await readObject(call, scaleKind, options.fieldValidation)) as unknown as Scale;
  return change(call, resource, options, { produce: () => wanted as unknown as Draft<ApiObject>, options });
}

async function change(call: Call, resource: Resource, options: WriteOptions, patch: Patcher): Promise<ApiResponse> {
  return changeScale(call, resource, options, false, async current => {
    const wanted = (await patch.produce(scaleOf(resource.kind, current))) as unknown as Draft<Scale>;
    matchNamespace(wanted.metadata, call.info.namespace);
    return scaledObject(resource.kind, current, wanted, call.info.name);
  });
}

/** Server-side apply of the number: in the parent's managedFields it is owned through the subresource. */
async function apply(call: Call, resource: Resource): Promise<ApiResponse> {
  const { kind } = resource;
  const { applied, options, force } = await readApply(call, scaleKind);
  const path = pathsOf(kind).specReplicas.map(name => `f:${name}`);
  return changeScale(call, resource, options, true, current => {
    const live = scaleOf(kind, current);
    const before = current.metadata.managedFields ?? [];
    const { object, managedFields } = applyObject({
      kind: scaleKind,
      live: { ...live, metadata: { ...live.metadata, managedFields: scaleEntries(before, path) } },
      applied: copyOf(applied),
      manager: options.fieldManager,
      force,
      subresource: 'scale',
      nowMs: call.foundation.clock.now(),
    });
    const draft = scaledObject(kind, current, object as unknown as Draft<Scale>, call.info.name);
    draft.metadata.managedFields = parentEntries(before, managedFields, path, apiVersionOf(kind)) as never;
    return draft;
  });
}

async function changeScale(
  call: Call,
  resource: Resource,
  options: WriteOptions,
  ownersKnown: boolean,
  produce: (current: ApiObject) => Promise<Draft<ApiObject>> | Draft<ApiObject>,
): Promise<ApiResponse> {
  const { namespace, name } = call.info;
  const written = await changeObject(call, {
    resource,
    namespace,
    name,
    subresource: 'scale',
    options,
    ownersKnown,
    rules: {
      prepare() {},
      validate(object, old, report) {
        if (resource.kind.custom) resource.kind.validateUpdate?.(object, old, report);
      },
    },
    produce,
  });
  const object = written.entry ? viewOf(resource, written.entry) : written.object;
  return answer(call, scaleOf(resource.kind, object));
}

function scaledObject(kind: Kind, current: ApiObject, wanted: Draft<Scale>, name: string): Draft<ApiObject> {
  check(wanted, name);
  const draft = copyOf(current) as Draft<ApiObject>;
  setReplicas(draft as unknown as Record<string, unknown>, pathsOf(kind), wanted.spec.replicas ?? 0);
  draft.metadata.resourceVersion = wanted.metadata.resourceVersion ?? '';
  if ((wanted.metadata.uid ?? '') !== '') draft.metadata.uid = wanted.metadata.uid as string;
  return draft;
}

function check({ metadata, spec }: Draft<Scale>, name: string): void {
  matchName(metadata, name);
  const replicas = spec.replicas ?? 0;
  if (replicas < 0)
    throw errors.invalid('autoscaling', 'Scale', name, [
      {
        type: 'FieldValueInvalid',
        field: 'spec.replicas',
        message: `Invalid value: ${replicas}: must be greater than or equal to 0`,
      },
    ]);
}

function answer(call: Call, value: Scale): ApiResponse {
  const media = call.media({ protobuf: true, transforms: false, stream: false });
  if (media.format !== 'protobuf') return call.valueResponse(200, value, media);
  return call.valueResponse(200, value, media, () => encodeProtobuf(scaleKind, value));
}

interface Scaled extends ApiObject {
  readonly spec?: { readonly selector?: LabelSelector | Readonly<Record<string, string>> };
}

/** Where built-in workloads have their numbers. */
const workloadPaths: ScalePaths = { specReplicas: ['spec', 'replicas'], statusReplicas: ['status', 'replicas'] };

function pathsOf(kind: Kind): ScalePaths {
  return kind.scalePaths ?? workloadPaths;
}

function setReplicas(draft: Record<string, unknown>, { specReplicas }: ScalePaths, replicas: number): void {
  let at = draft;
  for (const name of specReplicas.slice(0, -1)) {
    if (!Object.hasOwn(at, name) || typeof at[name] !== 'object' || at[name] === null) setOwn(at, name, {});
    at = at[name] as Record<string, unknown>;
  }
  setOwn(at, specReplicas.at(-1) as string, replicas);
}

/** A custom object may lack the number. */
function checkIsScalable(kind: Kind, object: ApiObject): void {
  const { specReplicas } = pathsOf(kind);
  if (kind.custom && valueAt(object, specReplicas) === undefined)
    throw errors.internal(`the spec replicas field ${JSON.stringify(`.${specReplicas.join('.')}`)} does not exist`);
}

function scaleOf(kind: Kind, object: ApiObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const { specReplicas, statusReplicas, labelSelector } = pathsOf(kind);
  const selector = kind.custom
    ? String(labelSelector ? (valueAt(object, labelSelector) ?? '') : '')
    : selectorText(kind, (object as Scaled).spec?.selector);
  return {
    kind: 'Scale',
    apiVersion: apiVersionOf(Scale),
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: valueAt(object, specReplicas) ?? 0 },
    status: { replicas: valueAt(object, statusReplicas) ?? 0, ...(selector !== '' && { selector }) },
  } as unknown as Scale;
}

/** A ReplicationController's selector is a plain map. */
function selectorText(kind: Kind, selector: NonNullable<Scaled['spec']>['selector']): string {
  if (!selector) return '';
  const isMap = kind.group === '' && kind.kind === 'ReplicationController';
  const text = formatLabelSelector(
    isMap ? { matchLabels: selector as Readonly<Record<string, string>> } : (selector as LabelSelector),
  );
  return text === '<none>' ? '' : text;
}
