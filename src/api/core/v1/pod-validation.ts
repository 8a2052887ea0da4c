import { checkMessages, sameValue } from '../../machinery/checks.ts';
import type { WithSpec } from '../../machinery/kind.ts';
import { isInRange } from '../../machinery/names.ts';
import type { Report } from '../../machinery/validation.ts';
import type { ObjectMeta } from '../../meta/v1/object-meta.ts';
import { checkImagePadding } from './container-validation.ts';
import { qosClass } from './pod-resources.ts';
import { knownSpecLike, rememberSpec } from './known-specs.ts';
import type { Container, NodeAffinity, PodSchedulingGate, PodSpec } from './pod-spec.ts';
import type { PodStatus } from './pod.ts';
import {
  appArmorAnnotationPrefix,
  mirrorAnnotation,
  validatePodAnnotations,
  validatePodSpec,
  validateProfileAnnotations,
} from './pod-spec-validation.ts';
import { validateTolerations } from './scheduling-validation.ts';
import type { Toleration } from './toleration.ts';

type PodLike = WithSpec<PodSpec, PodStatus>;

/** What holds for new and changed pods. `report` stands at the pod. */
export function validatePod(pod: PodLike, report: Report): void {
  const { metadata, spec } = pod;
  validatePodAnnotations(metadata, spec, report.at('metadata', 'annotations'));
  const isMirror = metadata.annotations?.[mirrorAnnotation] !== undefined;
  if (!isMirror && knownSpecLike(spec)) return;
  const faultsBefore = report.errors.length;
  const warningsBefore = report.warnings.length;
  validateSpec(pod, report);
  if (!isMirror && report.errors.length === faultsBefore && report.warnings.length === warningsBefore)
    rememberSpec(spec);
}

function validateSpec({ metadata, spec }: PodLike, report: Report): void {
  const at = report.at('spec');
  validatePodSpec(spec, { metadata, isPod: true }, at);
  if (metadata.annotations?.[mirrorAnnotation] !== undefined)
    for (const _ of spec.resourceClaims ?? []) report.forbidden('static pods do not support resource claims');
  if (!spec.serviceAccountName)
    for (const [index, volume] of (spec.volumes ?? []).entries())
      for (const [position, source] of (volume.projected?.sources ?? []).entries())
        if (source.serviceAccountToken)
          at.at('volumes')
            .index(index)
            .at('projected', 'sources')
            .index(position)
            .at('serviceAccountToken')
            .forbidden('must not be specified when serviceAccountName is not set');
  for (const name of ['containers', 'initContainers'] as const)
    for (const [index, container] of (spec[name] ?? []).entries())
      checkImagePadding(container, at.at(name).index(index));
}

export function validatePodCreate({ metadata, spec }: PodLike, report: Report): void {
  const at = report.at('spec');
  if ((spec.ephemeralContainers ?? []).length > 0) at.at('ephemeralContainers').forbidden('cannot be set on create');
  if (spec.nodeName && (spec.schedulingGates ?? []).length > 0)
    at.at('nodeName').forbidden('cannot be set until all schedulingGates have been cleared');
  validateProfileAnnotations(metadata, spec, at);
}

const updatable = [
  '`spec.containers[*].image`',
  '`spec.initContainers[*].image`',
  '`spec.activeDeadlineSeconds`',
  '`spec.tolerations` (only additions to existing tolerations)',
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
].join(',');

/** A pod's spec is fixed but for images, the deadline, more tolerations and fewer gates. */
export function validatePodUpdate(pod: PodLike, old: PodLike, report: Report): void {
  validateAnnotationUpdate(pod.metadata, old.metadata, report.at('metadata', 'annotations'));
  const at = report.at('spec');
  const { spec } = pod;
  for (const name of ['containers', 'initContainers'] as const) {
    const list = at.at(name);
    if ((spec[name] ?? []).length !== (old.spec[name] ?? []).length) {
      list.forbidden('pod updates may not add or remove containers');
      return;
    }
    for (const [index, container] of (spec[name] ?? []).entries()) {
      if (!container.image) list.index(index).at('image').required();
      checkImagePadding(container, list.index(index));
    }
  }
  if (!isDeadlineUpdate(spec.activeDeadlineSeconds, old.spec.activeDeadlineSeconds, at.at('activeDeadlineSeconds')))
    return;
  validateTolerationUpdate(spec.tolerations ?? [], old.spec.tolerations ?? [], at.at('tolerations'));
  validateGateUpdate(spec.schedulingGates ?? [], old.spec.schedulingGates ?? [], at.at('schedulingGates'));
  if (sameValue(spec, old.spec)) return;
  let wanted: PodSpec = {
    ...old.spec,
    containers: withImages(old.spec.containers, spec.containers),
    ...(old.spec.initContainers && { initContainers: withImages(old.spec.initContainers, spec.initContainers ?? []) }),
    activeDeadlineSeconds: spec.activeDeadlineSeconds,
    tolerations: spec.tolerations,
    schedulingGates: spec.schedulingGates,
  };
  if (old.spec.terminationGracePeriodSeconds < 0 && spec.terminationGracePeriodSeconds === 1)
    wanted = { ...wanted, terminationGracePeriodSeconds: 1 };
  if ((old.spec.schedulingGates ?? []).length > 0) {
    validateGatedUpdate(spec, old.spec, at);
    const affinity = { ...old.spec.affinity, nodeAffinity: spec.affinity?.nodeAffinity };
    wanted = { ...wanted, nodeSelector: spec.nodeSelector, affinity };
  }
  if (!sameValue(spec, wanted)) at.forbidden(`pod updates may not change fields other than ${updatable}`);
}

/** An update of `pods/ephemeralcontainers`: they may be added, never changed or taken away. */
export function validateEphemeralContainersUpdate(pod: PodLike, old: PodLike, report: Report): void {
  if (old.metadata.annotations?.[mirrorAnnotation] !== undefined) {
    report.forbidden('static pods do not support ephemeral containers');
    return;
  }
  const at = report.at('spec', 'ephemeralContainers');
  for (const container of old.spec.ephemeralContainers ?? []) {
    const kept = (pod.spec.ephemeralContainers ?? []).find(each => each.name === container.name);
    const name = JSON.stringify(container.name);
    if (!kept) at.forbidden(`existing ephemeral containers ${name} may not be removed\n`);
    else if (!sameValue(kept, container)) at.forbidden(`existing ephemeral containers ${name} may not be changed\n`);
  }
}

/** An update of `pods/resize`: cpu and memory of containers and sidecars. */
export function validatePodResize(pod: PodLike, old: PodLike, report: Report): void {
  const at = report.at('spec');
  if (old.metadata.annotations?.[mirrorAnnotation] !== undefined) {
    report.forbidden('static pods cannot be resized');
    return;
  }
  if (old.spec.os?.name === 'windows') {
    report.forbidden('windows pods cannot be resized');
    return;
  }
  if (qosClass(pod.spec) !== (old.status.qosClass ?? qosClass(old.spec)))
    at.invalid(pod.status.qosClass ?? '', 'Pod QOS Class may not change as a result of resizing');
  const running = (old.status.containerStatuses ?? []).find(status => status.state?.running);
  if (running && !running.resources) at.forbidden('Pod running on node without support for resize');
  const before = report.errors.length;
  for (const name of ['containers', 'initContainers'] as const) {
    const containers = pod.spec[name] ?? [];
    const olds = old.spec[name] ?? [];
    if (containers.length !== olds.length) {
      at.at(name).forbidden(`${name} may not be added or removed on resize`);
      continue;
    }
    for (const [index, container] of containers.entries())
      if (container.name !== olds[index]?.name)
        at.at(name).index(index).at('name').forbidden(`${name} may not be renamed or reordered on resize`);
  }
  if (report.errors.length > before) return;
  for (const name of ['initContainers', 'containers'] as const)
    for (const [index, container] of (pod.spec[name] ?? []).entries())
      validateContainerResize(
        container,
        (old.spec[name] ?? [])[index] as Container,
        name === 'initContainers',
        at,
        at.at(name).index(index).at('resources'),
      );
  if (report.errors.length > before) return;
  const rest = (spec: PodSpec) => ({ ...spec, containers: [], initContainers: [] });
  if (!sameValue(rest(pod.spec), rest(old.spec))) at.forbidden('only cpu and memory resources are mutable');
}

function validateContainerResize(
  container: Container,
  old: Container,
  isInit: boolean,
  spec: Report,
  report: Report,
): void {
  if (isInit && old.restartPolicy !== 'Always') {
    if (!sameValue(container, old)) spec.forbidden('resources for non-sidecar init containers are immutable');
    return;
  }
  for (const name of ['requests', 'limits'] as const) {
    const list = container.resources?.[name] ?? {};
    if (Object.keys(old.resources?.[name] ?? {}).some(resource => !Object.hasOwn(list, resource)))
      report.at(name).forbidden(`resource ${name} cannot be removed`);
  }
  const withoutCompute = (list: Readonly<Record<string, string>> | undefined) => {
    const { cpu: _, memory: __, ...others } = list ?? {};
    return others;
  };
  const rest = (each: Container) => ({
    ...each,
    resources: {
      ...each.resources,
      limits: withoutCompute(each.resources?.limits),
      requests: withoutCompute(each.resources?.requests),
    },
  });
  if (!sameValue(rest(container), rest(old)))
    spec.forbidden(`only cpu and memory resources${isInit ? ' for sidecar containers' : ''} are mutable`);
}

export function validateAnnotationUpdate(metadata: ObjectMeta, old: ObjectMeta, report: Report): void {
  const annotations = metadata.annotations ?? {};
  const olds = old.annotations ?? {};
  for (const name of Object.keys({ ...olds, ...annotations })) {
    if (annotations[name] === olds[name]) continue;
    const verb = olds[name] === undefined ? 'add' : 'remove or update';
    if (name.startsWith(appArmorAnnotationPrefix)) report.key(name).forbidden(`may not ${verb} AppArmor annotations`);
    if (name === mirrorAnnotation) report.key(name).forbidden(`may not ${verb} mirror pod annotation`);
  }
}

function isDeadlineUpdate(seconds: number | undefined, old: number | undefined, report: Report): boolean {
  if (seconds === undefined) {
    if (old !== undefined) report.invalid(null, 'must not update from a positive integer to nil value');
    return true;
  }
  const messages = isInRange(seconds, 0, 2_147_483_647);
  checkMessages(messages, seconds, report);
  if (messages.length > 0) return false;
  if (old === undefined || old >= seconds) return true;
  report.invalid(seconds, 'must be less than or equal to previous value');
  return false;
}

function validateTolerationUpdate(
  tolerations: readonly Toleration[],
  olds: readonly Toleration[],
  report: Report,
): void {
  for (const old of olds) {
    const isKept = tolerations.some(each =>
      sameValue({ ...each, tolerationSeconds: 0 }, { ...old, tolerationSeconds: 0 }),
    );
    if (isKept) continue;
    report.forbidden('existing toleration can not be modified except its tolerationSeconds');
    return;
  }
  validateTolerations(tolerations, report);
}

function validateGateUpdate(
  gates: readonly PodSchedulingGate[],
  olds: readonly PodSchedulingGate[],
  report: Report,
): void {
  // Of gates of one name upstream speaks of the last.
  const added = new Map(gates.map(({ name }, index) => [name, index]));
  for (const { name } of olds) added.delete(name);
  for (const [name, index] of added)
    report.index(index).at('name').forbidden(`only deletion is allowed, but found new scheduling gate '${name}'`);
}

function withImages(olds: readonly Container[], containers: readonly Container[]): readonly Container[] {
  return olds.map((old, index) => ({ ...old, image: containers[index]?.image }));
}

/** While a pod is held back by gates, where it may go can still be narrowed. */
function validateGatedUpdate(spec: PodSpec, old: PodSpec, report: Report): void {
  const { nodeSelector = {} } = spec;
  for (const [label, value] of Object.entries(old.nodeSelector ?? {}))
    if (nodeSelector[label] !== value) {
      report
        .at('nodeSelector')
        .invalid(nodeSelector, 'only additions to spec.nodeSelector are allowed (no mutations or deletions)');
      break;
    }
  validateNodeAffinityUpdate(
    spec.affinity?.nodeAffinity,
    old.affinity?.nodeAffinity,
    report.at('affinity', 'nodeAffinity'),
  );
}

function validateNodeAffinityUpdate(
  affinity: NodeAffinity | undefined,
  old: NodeAffinity | undefined,
  report: Report,
): void {
  const required = old?.requiredDuringSchedulingIgnoredDuringExecution;
  if (!required) return;
  const terms = affinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const olds = required.nodeSelectorTerms ?? [];
  const at = report.at('requiredDuringSchedulingIgnoredDuringExecution', 'nodeSelectorTerms');
  if (olds.length > 0 && olds.length !== terms.length) {
    at.invalid(terms, 'no additions/deletions to non-empty NodeSelectorTerms list are allowed');
    return;
  }
  for (const [index, term] of olds.entries()) {
    const isNarrowed = (['matchExpressions', 'matchFields'] as const).every(name => {
      const before = term[name] ?? [];
      return sameValue((terms[index]?.[name] ?? []).slice(0, before.length), before);
    });
    const wasEmpty = (term.matchExpressions ?? []).length + (term.matchFields ?? []).length === 0;
    if (!isNarrowed || (wasEmpty && !sameValue(terms[index], term)))
      at.index(index).invalid(terms[index], 'only additions are allowed (no mutations or deletions)');
  }
}
