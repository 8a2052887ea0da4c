import { Binding } from '#api/core/v1/binding.ts';
import type { Pod } from '#api/core/v1/pod.ts';
import { errors } from '#api/machinery/errors.ts';
import type { ApiObject, Draft } from '#api/machinery/kind.ts';
import type { ApiResponse } from '#client/transport.ts';
import { Pod as PodKind } from '#api/core/v1/pod.ts';
import { Admission } from '../admit.ts';
import { readObject } from '../body.ts';
import { type Call, writeOptionsOf, type WriteOptions } from '../call.ts';
import { changeObject } from '../change-object.ts';
import { admissionOptions } from '../create-object.ts';
import { formatTime } from '#api/machinery/time.ts';
import { matchNamespace } from '../metadata.ts';
import type { Resource } from '../registry.ts';

/** POST pods/{name}/binding: the scheduler's decision. */
export async function binding(call: Call, _resource: Resource): Promise<ApiResponse> {
  const options = writeOptionsOf(call, 'CreateOptions');
  const wanted = await readObject(call, Binding, options.fieldValidation);
  if (wanted.metadata.name !== call.info.name)
    throw errors.badRequest('name in URL does not match name in Binding object');
  return bind(call, wanted as Binding, options);
}

/** POST bindings: the same, with the name in the body. */
export async function bindings(call: Call, _resource: Resource): Promise<ApiResponse> {
  const options = writeOptionsOf(call, 'CreateOptions');
  return bind(call, (await readObject(call, Binding, options.fieldValidation)) as Binding, options);
}

async function bind(call: Call, wanted: Binding, options: WriteOptions): Promise<ApiResponse> {
  const { namespace } = call.info;
  matchNamespace(wanted.metadata as Draft<Binding['metadata']>, namespace);
  const name = wanted.metadata.name ?? '';
  const { target } = wanted;
  if (name === '') throw errors.badRequest('Name parameter required.');
  const found: string[] = [];
  if ((target.kind ?? '') !== '' && target.kind !== 'Node')
    found.push(`target.kind: Unsupported value: ${JSON.stringify(target.kind)}: supported values: "Node", "<empty>"`);
  if ((target.name ?? '') === '') found.push('target.name: Required value');
  // Upstream tells these without a reason.
  if (found.length > 0) throw errors.other('', found.length === 1 ? (found[0] as string) : `[${found.join(', ')}]`);
  const admission = new Admission(call, PodKind as never, {
    operation: 'CREATE',
    subresource: 'binding',
    namespace,
    name,
    object: wanted as never,
    old: undefined,
    options: admissionOptions('CreateOptions', options),
    dryRun: options.dryRun,
  });
  await admission.admit();
  await admission.validate();
  const { registry, clock } = call.foundation;
  await changeObject(call, {
    resource: registry.of(PodKind as never),
    namespace,
    name,
    subresource: 'binding',
    options,
    quiet: true,
    produce: current => assigned(current as Pod, wanted, clock.now()),
    rules: { prepare() {}, validate() {} },
  });
  return call.respond(201, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 });
}

function assigned(pod: Pod, { target, metadata }: Binding, nowMs: number): Draft<ApiObject> {
  const name = pod.metadata.name ?? '';
  const refuse = (why: string) => errors.conflict({ group: '', plural: 'pods/binding' }, name, why);
  for (const [field, told] of [
    ['uid', 'UID'],
    ['resourceVersion', 'ResourceVersion'],
  ] as const) {
    const wanted = metadata[field] ?? '';
    if (wanted !== '' && wanted !== pod.metadata[field])
      throw errors.conflict(
        { group: '', plural: 'pods' },
        name,
        `StorageError: invalid object, Code: 4, Key: /registry/pods/${pod.metadata.namespace}/${name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: ${told} in precondition: ${wanted}, ${told} in object meta: ${pod.metadata[field]}`,
      );
  }
  if (pod.metadata.deletionTimestamp !== undefined)
    throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
  if ((pod.spec.nodeName ?? '') !== '')
    throw refuse(`pod ${name} is already assigned to node ${JSON.stringify(pod.spec.nodeName)}`);
  if ((pod.spec.schedulingGates ?? []).length > 0) throw refuse(`pod ${name} has non-empty .spec.schedulingGates`);
  const annotations = { ...pod.metadata.annotations, ...metadata.annotations };
  const labels = { ...pod.metadata.labels, ...metadata.labels };
  const conditions = (pod.status.conditions ?? []).filter(each => each.type !== 'PodScheduled');
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      ...(Object.keys(annotations).length > 0 && { annotations }),
      ...(Object.keys(labels).length > 0 && { labels }),
    },
    spec: { ...pod.spec, nodeName: target.name },
    status: {
      ...pod.status,
      conditions: [
        ...conditions,
        { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: formatTime(nowMs) },
      ],
    },
  } as unknown as Draft<ApiObject>;
}
