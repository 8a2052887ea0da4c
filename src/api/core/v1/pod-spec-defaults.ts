import type { Draft } from '../../machinery/kind.ts';
import { defaultPullPolicy } from './image-name.ts';
import type { PersistentVolumeClaimSpec } from './persistent-volume-claim-spec.ts';
import type { Container, EphemeralContainer, PodSpec, Volume } from './pod-spec.ts';
import { aggregateLimits, aggregateRequests, isHugePages, isPodLevelResource } from './pod-resources.ts';
import type { PodTemplateSpec } from './pod-template-spec.ts';

/*
 * A patched object shares with the stored one what did not change, and what is stored is frozen: defaults write only
 * where something is missing.
 */

/** Defaults of every pod spec, in pods and in templates. */
export function defaultPodSpec(spec: Draft<PodSpec>): void {
  // The old name of the field follows the new one; a spec that has only the old one gives it to the new.
  if (!spec.serviceAccountName && spec.serviceAccount) spec.serviceAccountName = spec.serviceAccount;
  if (spec.serviceAccountName && spec.serviceAccount !== spec.serviceAccountName)
    spec.serviceAccount = spec.serviceAccountName;
  // KEP-4671 is off by default.
  if (spec.schedulingGroup) delete spec.schedulingGroup;
  for (const volume of spec.volumes ?? []) defaultVolume(volume);
  for (const container of spec.initContainers ?? []) defaultContainer(container);
  for (const container of spec.containers ?? []) defaultContainer(container);
  for (const container of spec.ephemeralContainers ?? []) defaultContainer(container);
}

export function defaultPodTemplate(template: Draft<PodTemplateSpec>): void {
  defaultPodSpec(template.spec);
}

/** Defaults that upstream gives to pods and not to templates. */
export function defaultPod(spec: Draft<PodSpec>): void {
  defaultPodSpec(spec);
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])])
    defaultRequestsFromLimits(container);
  defaultPodLevelResources(spec);
  spec.enableServiceLinks ??= true;
  // Of pods only: templates keep what they say.
  if (spec.terminationGracePeriodSeconds < 0) spec.terminationGracePeriodSeconds = 1;
  if (!spec.hostNetwork) return;
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])])
    for (const port of container.ports ?? []) if (!port.hostPort) port.hostPort = port.containerPort;
}

/**
 * A claim that refers to its source in one of the two fields has it in both. What an old server did not know in
 * `dataSource` is dropped, as it always was; `dataSourceRef` takes anything. // KEP-1495
 */
export function defaultClaimDataSources(spec: Draft<PersistentVolumeClaimSpec>, old?: PersistentVolumeClaimSpec): void {
  if (spec.dataSource && !old?.dataSource && !isOldDataSource(spec.dataSource)) delete spec.dataSource;
  const { dataSource, dataSourceRef } = spec;
  if (dataSource && !dataSourceRef) spec.dataSourceRef = { ...dataSource };
  else if (dataSourceRef && !dataSource && !dataSourceRef.namespace) {
    const { namespace: _, ...local } = dataSourceRef;
    spec.dataSource = local;
  }
}

function isOldDataSource({ apiGroup = '', kind }: { apiGroup?: string | undefined; kind: string }): boolean {
  if (kind === 'PersistentVolumeClaim') return apiGroup === '';
  return kind === 'VolumeSnapshot' && apiGroup === 'snapshot.storage.k8s.io';
}

const volumeSources = (volume: Draft<Volume>) =>
  Object.entries(volume).filter(([name, source]) => name !== 'name' && source !== undefined);

function defaultVolume(volume: Draft<Volume>): void {
  if (volumeSources(volume).length === 0) volume.emptyDir = {};
  if (volume.image && !volume.image.pullPolicy)
    volume.image.pullPolicy = defaultPullPolicy(volume.image.reference ?? '');
}

function defaultContainer(container: Draft<Container> | Draft<EphemeralContainer>): void {
  if (!container.imagePullPolicy) container.imagePullPolicy = defaultPullPolicy(container.image ?? '');
}

function defaultRequestsFromLimits(container: Draft<Container>): void {
  const { limits = {}, requests = {} } = container.resources ?? {};
  if (Object.keys(limits).some(name => !Object.hasOwn(requests, name)))
    container.resources = { ...container.resources, requests: { ...limits, ...requests } };
}

/** KEP-2837: requests of the pod follow from those of its containers, then from its limits. */
function defaultPodLevelResources(spec: Draft<PodSpec>): void {
  const { resources } = spec;
  if (!resources) return;
  const hasSome = Object.keys(resources.limits ?? {}).length + Object.keys(resources.requests ?? {}).length > 0;
  if (!hasSome) return;
  for (const [name, limit] of Object.entries(aggregateLimits(spec)))
    if (isHugePages(name) && resources.limits?.[name] === undefined && resources.requests?.[name] === undefined)
      resources.limits = { ...resources.limits, [name]: limit };
  if (Object.keys(resources.limits ?? {}).length === 0) return;
  const requests: Record<string, string> = { ...resources.requests };
  for (const [name, request] of Object.entries(aggregateRequests(spec)))
    if (isPodLevelResource(name) && !isHugePages(name)) requests[name] ??= request;
  for (const [name, limit] of Object.entries(resources.limits ?? {}))
    if (isPodLevelResource(name)) requests[name] ??= limit;
  if (Object.keys(requests).length > Object.keys(resources.requests ?? {}).length) resources.requests = requests;
}
