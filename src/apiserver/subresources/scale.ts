import { Scale } from '#api/autoscaling/v1/scale.ts';
import { errors } from '#api/machinery/errors.ts';
import { apiVersionOf, type ApiObject, type Draft, type Kind } from '#api/machinery/kind.ts';
import { formatLabelSelector } from '#api/machinery/selector.ts';
import type { LabelSelector } from '#api/meta/v1/label-selector.ts';
import type { ApiResponse } from '#client/transport.ts';
import { encodeProtobuf } from '#api/machinery/protobuf.ts';
import { readObject } from '../body.ts';
import { type Call, writeOptionsOf, type WriteOptions } from '../call.ts';
import { changeObject } from '../change-object.ts';
import { copyOf } from '../copy.ts';
import { existing, type Resource, viewOf } from '../registry.ts';
import { type Patcher, readPatch } from '../verbs/patch.ts';

const scaleKind = Scale as unknown as Kind;

/** The number of replicas of any workload, in the one shape that autoscalers and `kubectl scale` know. */
export async function scale(call: Call, resource: Resource): Promise<ApiResponse> {
  const { namespace, name, verb } = call.info;
  if (verb === 'get')
    return answer(call, scaleOf(resource.kind, viewOf(resource, existing(resource, namespace, name))));
  if (verb === 'patch') {
    const patch = await readPatch(call, scaleKind);
    return change(call, resource, patch.options, patch);
  }
  const options = writeOptionsOf(call, 'UpdateOptions');
  const wanted = (await readObject(call, scaleKind, options.fieldValidation)) as unknown as Scale;
  return change(call, resource, options, { produce: () => wanted as unknown as Draft<ApiObject>, options });
}

async function change(call: Call, resource: Resource, options: WriteOptions, patch: Patcher): Promise<ApiResponse> {
  const { namespace, name } = call.info;
  const written = await changeObject(call, {
    resource,
    namespace,
    name,
    subresource: 'scale',
    options,
    rules: { prepare() {}, validate() {} },
    async produce(current) {
      const wanted = (await patch.produce(scaleOf(resource.kind, current))) as unknown as Scale;
      check(wanted, name);
      const draft = copyOf(current) as Draft<ApiObject> & { spec: { replicas?: number } };
      draft.spec.replicas = wanted.spec.replicas ?? 0;
      draft.metadata.resourceVersion = wanted.metadata.resourceVersion ?? '';
      if ((wanted.metadata.uid ?? '') !== '') draft.metadata.uid = wanted.metadata.uid as string;
      return draft;
    },
  });
  const object = written.entry ? viewOf(resource, written.entry) : written.object;
  return answer(call, scaleOf(resource.kind, object));
}

function check({ metadata, spec }: Scale, name: string): void {
  if ((metadata.name ?? '') !== '' && metadata.name !== name)
    throw errors.badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${name})`);
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
  readonly spec: { readonly replicas?: number; readonly selector?: LabelSelector | Readonly<Record<string, string>> };
  readonly status?: { readonly replicas?: number };
}

function scaleOf(kind: Kind, object: ApiObject): Scale {
  const { metadata, spec, status } = object as Scaled;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  const selector = selectorText(kind, spec.selector);
  return {
    kind: 'Scale',
    apiVersion: apiVersionOf(Scale),
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: spec.replicas ?? 0 },
    status: { replicas: status?.replicas ?? 0, ...(selector !== '' && { selector }) },
  } as unknown as Scale;
}

/** A ReplicationController's selector is a plain map. */
function selectorText(kind: Kind, selector: Scaled['spec']['selector']): string {
  if (!selector) return '';
  const isMap = kind.group === '' && kind.kind === 'ReplicationController';
  const text = formatLabelSelector(
    isMap ? { matchLabels: selector as Readonly<Record<string, string>> } : (selector as LabelSelector),
  );
  return text === '<none>' ? '' : text;
}
