import { errors } from '#api/machinery/errors.ts';
import type { Kind } from '#api/machinery/kind.ts';
import { DaemonSet } from '#api/apps/v1/daemon-set.ts';
import { Deployment } from '#api/apps/v1/deployment.ts';
import { ReplicaSet } from '#api/apps/v1/replica-set.ts';
import { StatefulSet } from '#api/apps/v1/stateful-set.ts';
import { CronJob } from '#api/batch/v1/cron-job.ts';
import { Job } from '#api/batch/v1/job.ts';
import { Namespace } from '#api/core/v1/namespace.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { PodTemplate } from '#api/core/v1/pod-template.ts';
import { ReplicationController } from '#api/core/v1/replication-controller.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import type { PodLike } from '../pod-security/pod-parts.ts';
import {
  compareLevels,
  policyOf,
  type Policy,
  type PodSecurityConfiguration,
  type PodSecurityDefaults,
} from '../pod-security/policy.ts';
import { describeStandard, describeViolations, violationsOf, type Standard } from '../pod-security/standards.ts';
import { concerns, forbidden, isOf, objectOf, oldOf } from '../request.ts';
import { find, type Sources, withFound } from '../sources.ts';

/** Subresources that change nothing of what is judged here. */
const harmless = new Set(['exec', 'attach', 'binding', 'eviction', 'log', 'portforward', 'proxy', 'status']);
/** Pods that a namespace's new policy is tried on. */
const existingPodsMax = 3_000;

interface Template {
  readonly metadata?: PodLike['metadata'] | undefined;
  readonly spec?: PodLike['spec'] | undefined;
}

/** Kinds that make pods → the template in them. Their authors are warned. */
const templates: readonly (readonly [Kind, (object: unknown) => Template | undefined])[] = [
  ...[DaemonSet, Deployment, ReplicaSet, StatefulSet, Job, ReplicationController].map(
    kind =>
      [
        kind as unknown as Kind,
        (object: unknown) => (object as { spec?: { template?: Template } }).spec?.template,
      ] as const,
  ),
  [
    CronJob as unknown as Kind,
    object =>
      (object as { spec?: { jobTemplate?: { spec?: { template?: Template } } } }).spec?.jobTemplate?.spec?.template,
  ],
  [PodTemplate as unknown as Kind, object => (object as { template?: Template }).template],
];

/** Holds pods to the Pod Security Standard that their namespace's labels name. */
export function podSecurity(
  sources: Sources,
  { defaults = {}, exemptions = {} }: PodSecurityConfiguration = {},
): AdmissionPlugin {
  const { usernames = [], runtimeClasses = [], namespaces: exemptNamespaces = [] } = exemptions;
  const namespaces = sources.informers.of(Namespace);
  const pods = sources.informers.of(Pod);
  // Objects of informers are never changed.
  const policies = new WeakMap<Namespace, ReturnType<typeof policyOf>>();
  const policyFor = (name: string) =>
    withFound(find(sources, namespaces, name), namespace => {
      if (!namespace) throw errors.internal(`failed to lookup namespace ${JSON.stringify(name)}`);
      let policy = policies.get(namespace);
      if (!policy) policies.set(namespace, (policy = policyOf(namespace.metadata.labels, defaults)));
      return policy;
    });
  return {
    name: 'PodSecurity',
    handles: request => {
      if (request.operation !== 'CREATE' && request.operation !== 'UPDATE') return false;
      if (isOf(request, Pod)) return !harmless.has(request.subresource);
      if (request.subresource !== '') return false;
      return isOf(request, Namespace) || templates.some(([kind]) => isOf(request, kind));
    },
    validate(request) {
      if (isOf(request, Namespace)) {
        const there = exemptNamespaces.includes(request.name) ? [] : pods.inNamespace(request.name).values();
        const counted = [...there].filter(each => !runtimeClasses.includes(each.spec?.runtimeClassName ?? ''));
        return judgeNamespace(request, counted, defaults);
      }
      const exempt = (why: string) => request.annotate('pod-security.kubernetes.io/exempt', why);
      if (exemptNamespaces.includes(request.namespace)) return exempt('namespace');
      if (usernames.includes(request.user.name)) return exempt('user');
      return withFound(policyFor(request.namespace), ({ policy, errors: wrong }) => {
        const template = templates.find(([kind]) => isOf(request, kind));
        const silent = policy.warn.level === 'privileged' && policy.audit.level === 'privileged';
        if (silent && wrong.length === 0 && (template || policy.enforce.level === 'privileged')) return;
        if (wrong.length > 0)
          request.annotate(
            'pod-security.kubernetes.io/error',
            `Failed to parse policy: ${wrong.map(each => `${each.field}: ${each.message}`).join(', ')}`,
          );
        if (template) {
          const made = template[1](request.object);
          if (made?.spec && runtimeClasses.includes(made.spec.runtimeClassName ?? '')) return exempt('runtimeClass');
          if (made?.spec) judge(request, policy, { metadata: made.metadata ?? {}, spec: made.spec }, false);
          return;
        }
        const pod = objectOf(Pod, request);
        const old = oldOf(Pod, request);
        if (!pod.spec || (request.operation === 'UPDATE' && old && !isSignificant(pod, old))) return;
        if (runtimeClasses.includes(pod.spec.runtimeClassName ?? '')) return exempt('runtimeClass');
        judge(request, policy, { metadata: pod.metadata, spec: pod.spec }, true);
      });
    },
  };
}

function judge(request: AdmissionRequest, policy: Policy, pod: PodLike, enforcing: boolean): void {
  const say = (standard: Standard) => {
    const violations = violationsOf(pod, standard);
    return violations.length === 0
      ? undefined
      : `PodSecurity ${JSON.stringify(describeStandard(standard))}: ${describeViolations(violations)}`;
  };
  if (enforcing) request.annotate('pod-security.kubernetes.io/enforce-policy', describeStandard(policy.enforce));
  const audited = say(policy.audit);
  if (audited !== undefined)
    request.annotate('pod-security.kubernetes.io/audit-violations', `would violate ${audited}`);
  const enforced = enforcing ? say(policy.enforce) : undefined;
  if (enforced !== undefined) throw forbidden(request, `violates ${enforced}`);
  const warned = say(policy.warn);
  if (warned !== undefined) request.warn(`would violate ${warned}`);
}

/** A stricter policy says which of the pods that are there would break it. */
function judgeNamespace(request: AdmissionRequest, pods: readonly Pod[], defaults: PodSecurityDefaults): void {
  if (!concerns(request, Namespace, 'CREATE', 'UPDATE')) return;
  const now = policyOf(objectOf(Namespace, request).metadata.labels, defaults);
  const before =
    request.operation === 'UPDATE' ? policyOf(oldOf(Namespace, request)?.metadata.labels, defaults) : undefined;
  const known = before && before.errors.length > 0 && JSON.stringify(before.errors) === JSON.stringify(now.errors);
  if (now.errors.length > 0 && !known) throw errors.invalid('', 'Namespace', request.name, now.errors);
  if (!before) return;
  const { enforce } = now.policy;
  const old = before.policy.enforce;
  if (enforce.level === 'privileged') return;
  if (enforce.version === old.version && compareLevels(enforce.level, old.level) < 1) return;
  for (const warning of warningsOfExisting(request.name, pods, enforce)) request.warn(warning);
}

function warningsOfExisting(namespace: string, pods: readonly Pod[], enforce: Standard): string[] {
  const byReason = new Map<string, string[]>();
  for (const { metadata, spec } of pods.slice(0, existingPodsMax)) {
    const reason = spec
      ? violationsOf({ metadata, spec }, enforce)
          .map(each => each.reason)
          .join(', ')
      : '';
    if (reason !== '') byReason.set(reason, [...(byReason.get(reason) ?? []), metadata.name ?? '']);
  }
  const listed = [...byReason].map(([reason, names]) => {
    const others = names.length - 1;
    const more = others === 0 ? '' : others === 1 ? ' (and 1 other pod)' : ` (and ${others} other pods)`;
    return `${names.toSorted()[0]}${more}: ${reason}`;
  });
  return [
    ...(pods.length > existingPodsMax
      ? [
          `new PodSecurity enforce level only checked against the first ${existingPodsMax} of ${pods.length} existing pods`,
        ]
      : []),
    ...(listed.length > 0
      ? [
          `existing pods in namespace ${JSON.stringify(namespace)} violate the new PodSecurity enforce level ${JSON.stringify(describeStandard(enforce))}`,
        ]
      : []),
    ...listed.sort(),
  ];
}

/** Of what can change in a pod only images and new containers matter. */
function isSignificant(pod: Pod, old: Pod): boolean {
  const images = (containers: readonly { readonly name: string; readonly image?: string | undefined }[] | undefined) =>
    (containers ?? []).map(each => each.image ?? '');
  if (images(pod.spec?.containers).join('\n') !== images(old.spec?.containers).join('\n')) return true;
  if (images(pod.spec?.initContainers).join('\n') !== images(old.spec?.initContainers).join('\n')) return true;
  return (pod.spec?.ephemeralContainers ?? []).some(
    each => !old.spec?.ephemeralContainers?.some(other => other.name === each.name && other.image === each.image),
  );
}
