import { PersistentVolume } from '#api/core/v1/persistent-volume.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { ResourceSlice } from '#api/resource/v1/resource-slice.ts';
import { VolumeAttachment } from '#api/storage/v1/volume-attachment.ts';
import { parseFieldSelector } from '#api/machinery/selector.ts';
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
  resourceSlice(name: string): ResourceSlice | undefined;
}

export function nodeRelationsFrom(informers: Informers): NodeRelations {
  const pods = informers.of(Pod);
  const byNode = pods.index('node', pod => [pod.spec?.nodeName ?? '']);
  const volumes = informers.of(PersistentVolume);
  const byClaim = volumes.index('spec.claimRef', ({ spec }) => [
    `${spec?.claimRef?.namespace ?? ''}/${spec?.claimRef?.name ?? ''}`,
  ]);
  const attachments = informers.of(VolumeAttachment);
  const slices = informers.of(ResourceSlice);
  return {
    podsOf: node => byNode.get(node).values(),
    pod: (namespace, name) => pods.get(name, namespace),
    persistentVolume: name => volumes.get(name),
    volumeOfClaim: (namespace, name) => byClaim.get(`${namespace}/${name}`).values().next().value,
    volumeAttachment: name => attachments.get(name),
    resourceSlice: name => slices.get(name),
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
    rulesFor: user => ({
      resourceRules: [],
      nonResourceRules: [],
      // Others have nothing from this authorizer, and that is all.
      ...(nodeNameOf(user) === undefined
        ? { incomplete: false }
        : { incomplete: true, evaluationError: 'node authorizer does not support user rule resolution' }),
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
  'resourceslices.resource.k8s.io': (node, asked, relations) => {
    if (asked.subresource !== '') return noOpinion('cannot authorize ResourceSlice subresources');
    switch (asked.verb) {
      case 'create':
        // Whose it is stands in its body, which NodeRestriction looks at.
        return allow;
      case 'get':
      case 'update':
      case 'patch':
      case 'delete':
        if (asked.name === '') return noOpinion('No Object name found');
        return related(node, relations.resourceSlice(asked.name)?.spec?.nodeName === node);
      case 'list':
      case 'watch':
      case 'deletecollection':
        return selects(asked.fieldSelector, 'spec.nodeName', node)
          ? allow
          : noOpinion('can only list/watch/deletecollection resourceslices with spec.nodeName field selector');
      default:
        return noOpinion(
          'only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection',
        );
    }
  },
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
  'nodes.': (node, { verb, subresource, name }) => {
    // NodeRestriction sees to it that a node creates and changes itself only.
    if (subresource === 'status') return verb === 'update' || verb === 'patch' ? allow : noOpinion('');
    if (subresource !== '') return noOpinion('');
    if (verb === 'create' || verb === 'update' || verb === 'patch') return allow;
    if (verb !== 'get' && verb !== 'list' && verb !== 'watch') return noOpinion('');
    if (name === node) return allow;
    return noOpinion(
      name === ''
        ? `node '${node}' cannot read all nodes, only its own Node object`
        : `node '${node}' cannot read '${name}', only its own Node object`,
    );
  },
  'pods.': (node, asked, relations) => {
    const { verb, subresource, namespace, name } = asked;
    const isOwn = () => relations.pod(namespace, name)?.spec?.nodeName === node;
    switch (subresource) {
      case '':
        switch (verb) {
          case 'get':
            return name === '' ? noOpinion('No Object name found') : related(node, isOwn());
          case 'list':
          case 'watch':
            if (selects(asked.fieldSelector, 'spec.nodeName', node)) return allow;
            if (name !== '') return related(node, isOwn());
            return noOpinion('can only list/watch pods with spec.nodeName field selector');
          case 'create':
          case 'delete':
            // Mirror pods; NodeRestriction looks at whose they are.
            return allow;
          default:
            return noOpinion('');
        }
      case 'status':
        return verb === 'update' || verb === 'patch' ? allow : noOpinion('');
      case 'eviction':
        return verb === 'create' ? allow : noOpinion('');
      default:
        return noOpinion('');
    }
  },
};

function byRole(asked: Attributes): Decision {
  return clusterRoleRules['system:node']?.some(rule => ruleAllows(rule, asked)) ? allow : noOpinion('');
}

function readNamespaced(asked: Attributes): Decision | undefined {
  if (!['get', 'list', 'watch'].includes(asked.verb)) return noOpinion('can only read resources of this type');
  if (asked.subresource !== '') return noOpinion('cannot read subresource');
  if (asked.namespace === '') return noOpinion('can only read namespaced object of this type');
  if (asked.name === '') return noOpinion('No Object name found');
  return undefined;
}

function getOnly(asked: Attributes): Decision | undefined {
  if (asked.verb !== 'get') return noOpinion('can only get individual resources of this type');
  if (asked.subresource !== '') return noOpinion('cannot get subresource');
  if (asked.name === '') return noOpinion('No Object name found');
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

/** Read as the list reads it: in `metadata.name!=x\\,spec.nodeName=n1` the comma is part of a name. */
function selects(selector: string | undefined, field: string, value: string): boolean {
  if (selector === undefined || !selector.includes(field)) return false;
  try {
    return parseFieldSelector(selector).some(
      each => each.field === field && each.operator === '=' && each.value === value,
    );
  } catch {
    // Nobody will list by it.
    return false;
  }
}

function some<Item>(items: Iterable<Item>, is: (item: Item) => boolean): boolean {
  for (const item of items) if (is(item)) return true;
  return false;
}
