import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { VolumeAttachment } from '#api/storage/v1/volume-attachment.ts';
import type { Informers } from '#client/informers.ts';
import { wellKnownGroups, type User } from '../user.ts';
import type { Attributes, Authorizer, Decision } from './authorizer.ts';
import { podReferences } from './pod-references.ts';
import { clusterRoleRules } from './policy/cluster-roles.ts';
import { ruleAllows } from './rule-matching.ts';

const allow: Decision = { decision: 'allow', reason: '' };
const mirrorAnnotation = 'kubernetes.io/config.mirror';

/** What a node is related to through the pods bound to it. */
export interface NodeRelations {
  podsOf(node: string): Iterable<Pod>;
  pod(namespace: string, name: string): Pod | undefined;
  persistentVolume(name: string): PersistentVolume | undefined;
  /** The volume that a claim is bound to. */
  volumeOfClaim(namespace: string, name: string): PersistentVolume | undefined;
  volumeAttachment(name: string): VolumeAttachment | undefined;
}

export function nodeRelationsFrom(informers: Informers): NodeRelations {
  const pods = informers.of(Pod);
  const byNode = pods.index('spec.nodeName', pod => [pod.spec?.nodeName ?? '']);
  const volumes = informers.of(PersistentVolume);
  const byClaim = volumes.index('spec.claimRef', ({ spec }) => [
    `${spec?.claimRef?.namespace ?? ''}/${spec?.claimRef?.name ?? ''}`,
  ]);
  const attachments = informers.of(VolumeAttachment);
  return {
    podsOf: node => byNode.get(node).values(),
    pod: (namespace, name) => pods.get(name, namespace),
    persistentVolume: name => volumes.get(name),
    volumeOfClaim: (namespace, name) => byClaim.get(`${namespace}/${name}`).values().next().value,
    volumeAttachment: name => attachments.get(name),
  };
}

/** The node a user is, if it is one. */
export function nodeNameOf(user: User): string | undefined {
  if (!user.name.startsWith('system:node:') || !user.groups.includes(wellKnownGroups.nodes)) return undefined;
  const name = user.name.slice('system:node:'.length);
  return name === '' ? undefined : name;
}

/**
 * Lets node agents do what the role `system:node` says, but read only what the pods bound to their node refer to and touch
 * only what carries their node's name. Mirror pods, which a node makes itself, relate it to nothing.
 */
export function nodeAuthorizer(relations: NodeRelations): Authorizer {
  return {
    name: 'Node',
    authorize(asked) {
      const node = nodeNameOf(asked.user);
      if (node === undefined) return noOpinion('');
      if (!asked.resourceRequest) return byRole(asked);
      const decide = deciders[`${asked.resource}.${asked.group}`];
      return decide ? decide(node, asked, relations) : byRole(asked);
    },
    rulesFor: () => ({
      resourceRules: [],
      nonResourceRules: [],
      incomplete: true,
      evaluationError: 'node authorizer does not support user rule resolution',
    }),
  };
}

type Decider = (node: string, asked: Attributes, relations: NodeRelations) => Decision;

const deciders: Readonly<Record<string, Decider>> = {
  'secrets.': (node, asked, relations) =>
    readNamespaced(asked) ??
    related(
      node,
      some(relations.podsOf(node), pod => refersToSecret(pod, asked, relations)),
    ),
  'configmaps.': (node, asked, relations) =>
    readNamespaced(asked) ??
    related(
      node,
      some(relations.podsOf(node), pod => inPod(pod, asked) && podReferences(pod).configMaps.has(asked.name)),
    ),
  'persistentvolumeclaims.': (node, asked, relations) => {
    if (asked.subresource === 'status') {
      if (!['get', 'update', 'patch'].includes(asked.verb)) return noOpinion('can only get, update, or patch status');
    } else if (asked.subresource !== '' || asked.verb !== 'get')
      return noOpinion('can only get individual resources of this type');
    return related(node, usesClaim(node, asked.namespace, asked.name, relations));
  },
  'persistentvolumes.': (node, asked, relations) => {
    const claim = relations.persistentVolume(asked.name)?.spec?.claimRef;
    return (
      getOnly(asked) ??
      related(node, claim !== undefined && usesClaim(node, claim.namespace ?? '', claim.name ?? '', relations))
    );
  },
  'resourceclaims.resource.k8s.io': (node, asked, relations) =>
    getOnly(asked) ??
    related(
      node,
      some(relations.podsOf(node), pod => inPod(pod, asked) && podReferences(pod).resourceClaims.has(asked.name)),
    ),
  'resourceslices.resource.k8s.io': (node, asked) =>
    asked.verb === 'create' || asked.name !== '' || selects(asked.fieldSelector, 'spec.nodeName', node)
      ? allow
      : noOpinion('can only access ResourceSlice with the "spec.nodeName" field selector set to its own node'),
  'volumeattachments.storage.k8s.io': (node, asked, relations) =>
    getOnly(asked) ?? related(node, relations.volumeAttachment(asked.name)?.spec?.nodeName === node),
  'serviceaccounts.': (node, asked, relations) => {
    if (asked.subresource === 'token' ? asked.verb !== 'create' : asked.subresource !== '' || asked.verb !== 'get')
      return noOpinion(
        asked.subresource === 'token'
          ? 'can only create tokens for individual service accounts'
          : 'can only get individual resources of this type',
      );
    if (asked.name === '') return noOpinion('can only create tokens for individual service accounts');
    return related(
      node,
      some(relations.podsOf(node), pod => inPod(pod, asked) && pod.spec?.serviceAccountName === asked.name),
    );
  },
  'leases.coordination.k8s.io': (node, asked) => {
    if (!['get', 'create', 'update', 'patch', 'delete'].includes(asked.verb))
      return noOpinion('can only get, create, update, patch, or delete a node lease');
    if (asked.namespace !== 'kube-node-lease')
      return noOpinion('can only access leases in the "kube-node-lease" system namespace');
    // The name of a new one is in its body, which NodeRestriction looks at.
    if (asked.verb !== 'create' && asked.name !== node)
      return noOpinion('can only access node lease with the same name as the requesting node');
    return allow;
  },
  'csinodes.storage.k8s.io': (node, asked) => {
    if (!['get', 'create', 'update', 'patch', 'delete'].includes(asked.verb))
      return noOpinion('can only get, create, update, patch, or delete a CSINode');
    if (asked.subresource !== '') return noOpinion('cannot authorize CSINode subresources');
    if (asked.verb !== 'create' && asked.name !== node)
      return noOpinion('can only access CSINode with the same name as the requesting node');
    return allow;
  },
  'nodes.': (node, asked) => {
    if (!['get', 'list', 'watch'].includes(asked.verb)) return byRole(asked);
    if (asked.subresource === '' && asked.name === node) return allow;
    return noOpinion(`node '${node}' cannot read '${asked.name}', only its own Node object`);
  },
  'pods.': (node, asked, relations) => {
    if (asked.subresource === '' && (asked.verb === 'list' || asked.verb === 'watch')) {
      if (selects(asked.fieldSelector, 'spec.nodeName', node)) return allow;
      return noOpinion('can only list/watch pods with spec.nodeName field selector');
    }
    if (asked.subresource === '' && asked.verb === 'get')
      return related(node, relations.pod(asked.namespace, asked.name)?.spec?.nodeName === node);
    return byRole(asked);
  },
};

function byRole(asked: Attributes): Decision {
  return clusterRoleRules['system:node']?.some(rule => ruleAllows(rule, asked)) ? allow : noOpinion('');
}

function readNamespaced(asked: Attributes): Decision | undefined {
  if (!['get', 'list', 'watch'].includes(asked.verb)) return noOpinion('can only read resources of this type');
  if (asked.subresource !== '') return noOpinion('cannot read subresource');
  if (asked.namespace === '') return noOpinion('can only read namespaced object of this type');
  return undefined;
}

function getOnly(asked: Attributes): Decision | undefined {
  if (asked.verb !== 'get' || asked.name === '') return noOpinion('can only get individual resources of this type');
  if (asked.subresource !== '') return noOpinion('cannot get subresource');
  return undefined;
}

function related(node: string, found: boolean): Decision {
  return found ? allow : noOpinion(`no relationship found between node '${node}' and this object`);
}

function noOpinion(reason: string): Decision {
  return { decision: 'noOpinion', reason };
}

function inPod(pod: Pod, asked: Attributes): boolean {
  return pod.metadata.namespace === asked.namespace && pod.metadata.annotations?.[mirrorAnnotation] === undefined;
}

function refersToSecret(pod: Pod, asked: Attributes, relations: NodeRelations): boolean {
  if (pod.metadata.annotations?.[mirrorAnnotation] !== undefined) return false;
  const references = podReferences(pod);
  if (pod.metadata.namespace === asked.namespace && references.secrets.has(asked.name)) return true;
  return some(references.claims, claim => {
    const csi = relations.volumeOfClaim(pod.metadata.namespace ?? '', claim)?.spec?.csi;
    return [csi?.nodePublishSecretRef, csi?.nodeStageSecretRef, csi?.nodeExpandSecretRef].some(
      secret => secret?.namespace === asked.namespace && secret?.name === asked.name,
    );
  });
}

function usesClaim(node: string, namespace: string, claim: string, relations: NodeRelations): boolean {
  return some(
    relations.podsOf(node),
    pod =>
      pod.metadata.namespace === namespace &&
      pod.metadata.annotations?.[mirrorAnnotation] === undefined &&
      podReferences(pod).claims.has(claim),
  );
}

function selects(selector: string | undefined, field: string, value: string): boolean {
  return (selector ?? '').split(',').some(each => each === `${field}=${value}` || each === `${field}==${value}`);
}

function some<Item>(items: Iterable<Item>, is: (item: Item) => boolean): boolean {
  for (const item of items) if (is(item)) return true;
  return false;
}
