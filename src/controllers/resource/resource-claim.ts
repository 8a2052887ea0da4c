import { Pod } from '#api/core/v1/pod.ts';
import { isReason } from '#api/machinery/errors.ts';
import {
  canBeReserved,
  claimNameOf,
  consumerOf,
  deleteProtectionFinalizer,
  extendedResourceAnnotation,
  isReservedFor,
  notForPod,
  podClaimAnnotation,
} from '#api/resource/pod-claims.ts';
import { ResourceClaimTemplate } from '#api/resource/v1/resource-claim-template.ts';
import { ResourceClaim } from '#api/resource/v1/resource-claim.ts';
import { keyFrom } from '#client/informer.ts';
import { afterwards, create, event, patch, remove, retry, update, updateStatus, type Action } from '../actions.ts';
import { defineController, type Asking, type Controller } from '../controller.ts';
import { isTerminal } from '../core/pod-state.ts';
import { watched } from '../reads.ts';

type PodClaim = NonNullable<Pod['spec']['resourceClaims']>[number];

/** Makes claims from templates for pods, and takes devices back that no pod uses any more. */
export const resourceClaimController: Controller = {
  name: 'resourceclaim-controller',
  account: 'resource-claim-controller',
  start(environment) {
    const started = [claimsOfPods, reservations].map(controller => controller.start(environment));
    return {
      async [Symbol.asyncDispose]() {
        await Promise.all(started.map(each => each[Symbol.asyncDispose]()));
      },
    };
  },
};

/** Claims as the pods' specs want them. */
export const claimsOfPods = defineController({
  name: 'resource_claim',
  component: 'resource_claim',
  reconciles: Pod,
  concerns: pod => (pod.spec?.resourceClaims ?? []).length > 0 && pod.metadata.deletionTimestamp === undefined,
  reads: {
    claims: watched<Pod, ResourceClaim, ClaimsOfPod>(
      ResourceClaim,
      claims => {
        const byOwner = claims.index('controller-uid', ({ metadata }) =>
          (metadata.ownerReferences ?? []).flatMap(owner => (owner.controller === true ? owner.uid : [])),
        );
        return ({ metadata }) => ({
          named: name => claims.get(name, metadata.namespace),
          made: podClaim => {
            for (const claim of byOwner.get(metadata.uid ?? '').values())
              if (claim.metadata.annotations?.[podClaimAnnotation] === podClaim) return claim;
            return undefined;
          },
        });
      },
      (claim, _old, pods) =>
        pods
          .index('resource-claim', claimKeysOf)
          .get(keyFrom(claim.metadata.name ?? '', claim.metadata.namespace))
          .keys(),
    ),
    template: watched<Pod, ResourceClaimTemplate, (name: string) => ResourceClaimTemplate | undefined>(
      ResourceClaimTemplate,
      templates => pod => name => templates.get(name, pod.metadata.namespace),
      (template, old, pods) =>
        old === undefined
          ? pods
              .index('resource-claim-template', templateKeysOf)
              .get(keyFrom(template.metadata.name ?? '', template.metadata.namespace))
              .keys()
          : [],
    ),
  },
  writes: [ResourceClaim, Pod],
  decide(pod, { claims, template }) {
    if (isTerminal(pod)) return [];
    const wanted: { readonly podClaim: PodClaim; readonly claim: ResourceClaim | undefined }[] = [];
    for (const podClaim of pod.spec?.resourceClaims ?? []) {
      const { resourceClaimTemplateName: templateName } = podClaim;
      if (templateName === undefined) continue;
      const named = claimNameOf(pod, podClaim);
      // It was decided before that none is needed.
      if (named === undefined) continue;
      const known = named.missing === undefined ? claims.named(named.name) : undefined;
      if (known && notForPod(pod, known) === undefined) continue;
      // The one that was made before its name could be written down.
      const orphan = claims.made(podClaim.name);
      if (!orphan && !template(templateName))
        return [
          event(
            pod,
            'Warning',
            'FailedResourceClaimCreation',
            `PodResourceClaim ${podClaim.name}: resource claim template "${templateName}": resourceclaimtemplate.resource.k8s.io "${templateName}" not found`,
          ),
          retry(`the template ${templateName} is not there`),
        ];
      wanted.push({ podClaim, claim: orphan });
    }
    if (wanted.length === 0) return reservedFor(pod, claims);
    const missing = wanted.filter(each => each.claim === undefined);
    return [
      ...missing.map(({ podClaim }) => {
        const from = template(podClaim.resourceClaimTemplateName ?? '') as ResourceClaimTemplate;
        return create(ResourceClaim, claimFrom(pod, podClaim, from), {
          failed: error =>
            event(
              pod,
              'Warning',
              'FailedResourceClaimCreation',
              `PodResourceClaim ${podClaim.name}: create ResourceClaim : ${error.message}`,
            ),
        });
      }),
      afterwards(({ failures, objects }) => {
        if (failures.length > 0) return [];
        const made = objects as readonly ResourceClaim[];
        const resourceClaimStatuses = wanted.map(({ podClaim, claim }) => {
          const own = claim ?? made.find(each => each.metadata.annotations?.[podClaimAnnotation] === podClaim.name);
          return { name: podClaim.name, resourceClaimName: own?.metadata.name };
        });
        const { uid } = pod.metadata;
        return [patch(Pod, pod, { metadata: { uid }, status: { resourceClaimStatuses } }, { subresource: 'status' })];
      }),
    ];
  },
});

interface ClaimsOfPod {
  named(name: string): ResourceClaim | undefined;
  /** That was made for this entry of the pod. */
  made(podClaim: string): ResourceClaim | undefined;
}

/** Who was put on its node by somebody else than the scheduler uses its claims, too. */
function reservedFor(pod: Pod, claims: ClaimsOfPod): readonly Action[] {
  if ((pod.spec?.nodeName ?? '') === '') return [];
  const actions: Action[] = [];
  for (const podClaim of pod.spec?.resourceClaims ?? []) {
    const named = claimNameOf(pod, podClaim);
    if (named === undefined || named.missing !== undefined) continue;
    const claim = claims.named(named.name);
    if (!claim || (named.generated && notForPod(pod, claim) !== undefined)) continue;
    if (claim.status?.allocation === undefined || isReservedFor(claim, pod.metadata.uid) || !canBeReserved(claim))
      continue;
    const users = [...(claim.status.reservedFor ?? []), consumerOf(pod)];
    actions.push(updateStatus(ResourceClaim, { ...claim, status: { ...claim.status, reservedFor: users } }));
  }
  return actions;
}

const nameLengthMax = 57;

function claimFrom(pod: Pod, { name: podClaim }: PodClaim, { spec: template }: ResourceClaimTemplate) {
  const { name = '', namespace = '', uid = '' } = pod.metadata;
  const { annotations, labels } = template.metadata ?? {};
  const whole = `${name}-${podClaim}-`;
  const part = (text: string) => text.slice(0, Math.floor((text.length * nameLengthMax) / whole.length));
  return {
    metadata: {
      generateName: whole.length > nameLengthMax ? `${part(name)}-${part(podClaim)}` : whole,
      namespace,
      annotations: { ...annotations, [podClaimAnnotation]: podClaim },
      ...(labels && { labels }),
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name, uid, controller: true, blockOwnerDeletion: true }],
    },
    spec: template.spec,
  };
}

/** Which reservations of a claim nobody holds any more. */
const reservations = defineController<ResourceClaim, { readonly pods: PodsByName }, readonly string[]>({
  name: 'resource_claim_reservations',
  component: 'resource_claim',
  reconciles: ResourceClaim,
  reads: {
    pods: watched<ResourceClaim, Pod, PodsByName>(
      Pod,
      pods => claim => name => pods.get(name, claim.metadata.namespace),
      (pod, old, _claims, change) => {
        const ended = change === 'deleted' || (isDone(pod) && (old === undefined || !isDone(old)));
        return ended && (pod.spec?.resourceClaims ?? pod.status?.extendedResourceClaimStatus) !== undefined
          ? claimKeysOf(pod)
          : [];
      },
    ),
  },
  writes: [ResourceClaim],
  /** A pod that no copy shows may be too young for it: only the API server knows. */
  async ask(claim, { pods, client, signal }) {
    const { namespace = '' } = claim.metadata;
    const gone: string[] = [];
    for (const user of claim.status?.reservedFor ?? []) {
      if (!isPod(user)) continue;
      const pod = pods(user.name) ?? (await podOf({ client, signal }, user.name, namespace));
      if (pod === undefined || pod.metadata.uid !== user.uid || isDone(pod)) gone.push(user.uid);
    }
    return gone;
  },
  decide(claim, { pods, answer: gone = [] }) {
    const { finalizers = [], deletionTimestamp } = claim.metadata;
    const users = claim.status?.reservedFor ?? [];
    const valid = users.filter(user => !gone.includes(user.uid));
    const isProtected = finalizers.includes(deleteProtectionFinalizer);
    const actions: Action[] = [];
    if (valid.length < users.length || (isProtected && deletionTimestamp !== undefined && valid.length === 0)) {
      const { allocation, ...rest } = claim.status ?? {};
      const free = valid.length === 0 && isProtected;
      const status = {
        ...rest,
        reservedFor: valid,
        ...(!free && allocation && { allocation }),
        // What drivers said of devices that are given back means nothing any more.
        ...(free && { devices: [] }),
      };
      actions.push(updateStatus(ResourceClaim, { ...claim, status }));
      if (free)
        actions.push(afterwards(({ failures, objects }) => (failures.length > 0 ? [] : [unprotect(objects.at(-1))])));
    }
    const done = isOwnersDone(claim, pods);
    if (done && valid.length === 0 && deletionTimestamp === undefined)
      actions.push(afterwards(({ failures }) => (failures.length > 0 ? [] : [remove(ResourceClaim, claim)])));
    return actions;
  },
});

type PodsByName = (name: string) => Pod | undefined;

function unprotect(written: unknown): Action {
  const claim = written as ResourceClaim;
  const finalizers = (claim.metadata.finalizers ?? []).filter(each => each !== deleteProtectionFinalizer);
  return update(ResourceClaim, { ...claim, metadata: { ...claim.metadata, finalizers } });
}

/** The claim was made for a pod that will not run any more: it need not wait until the pod is removed. */
function isOwnersDone({ metadata }: ResourceClaim, pods: PodsByName): boolean {
  const made =
    metadata.annotations?.[podClaimAnnotation] !== undefined ||
    metadata.annotations?.[extendedResourceAnnotation] === 'true';
  const owner = metadata.ownerReferences?.find(each => each.controller === true && each.kind === 'Pod');
  const pod = owner && made ? pods(owner.name) : undefined;
  return pod !== undefined && pod.metadata.uid === owner?.uid && isDone(pod);
}

async function podOf(
  { client, signal }: Pick<Asking, 'client' | 'signal'>,
  name: string,
  namespace: string,
): Promise<Pod | undefined> {
  try {
    return await client.get(Pod, name, { namespace, signal });
  } catch (error) {
    if (isReason(error, 'NotFound')) return undefined;
    throw error;
  }
}

function isPod({
  resource,
  apiGroup = '',
}: {
  readonly resource: string;
  readonly apiGroup?: string | undefined;
}): boolean {
  return apiGroup === '' && resource === 'pods';
}

/** It runs no more, or never will: it was deleted before it got a node. */
function isDone(pod: Pod): boolean {
  return isTerminal(pod) || (pod.metadata.deletionTimestamp !== undefined && (pod.spec?.nodeName ?? '') === '');
}

/** The claims that a pod uses or will use, as far as they have names. */
export function claimKeysOf(pod: Pod): string[] {
  const { namespace } = pod.metadata;
  const extended = pod.status?.extendedResourceClaimStatus?.resourceClaimName;
  return [
    ...(pod.spec?.resourceClaims ?? []).flatMap(each => {
      const named = claimNameOf(pod, each);
      return named === undefined || named.missing !== undefined ? [] : keyFrom(named.name, namespace);
    }),
    ...(extended === undefined ? [] : [keyFrom(extended, namespace)]),
  ];
}

function templateKeysOf({ metadata, spec }: Pod): string[] {
  return (spec?.resourceClaims ?? []).flatMap(({ resourceClaimTemplateName: name }) =>
    name === undefined ? [] : keyFrom(name, metadata.namespace),
  );
}
