import type { HealthCheck } from './health.ts';

/** What upstream's server does once after its start, under its names, by the part of ours that does the same. */
const hooks = {
  /** Whatever is asked is answered from the caches. */
  caches: [
    'start-apiserver-admission-initializer',
    'generic-apiserver-start-informers',
    'storage-object-count-tracker-hook',
    'storage-readiness',
  ],
  fairness: ['priority-and-fairness-config-consumer', 'priority-and-fairness-filter'],
  definitions: ['start-apiextensions-informers', 'start-apiextensions-controllers', 'crd-informer-synced'],
  /** The objects that a cluster cannot be without. */
  bootstrap: [
    'start-system-namespaces-controller',
    'start-cluster-authentication-info-controller',
    'start-kube-apiserver-identity-lease-controller',
    'start-kube-apiserver-identity-lease-garbage-collector',
    'start-legacy-token-tracking-controller',
    'start-service-ip-repair-controllers',
    'rbac/bootstrap-roles',
    'scheduling/bootstrap-system-priority-classes',
    'priority-and-fairness-config-producer',
    'bootstrap-controller',
    'start-kubernetes-service-cidr-controller',
  ],
  aggregation: [
    'start-kube-aggregator-informers',
    'apiservice-status-local-available-controller',
    'apiservice-status-remote-available-controller',
    'apiservice-registration-controller',
    'apiservice-wait-for-first-sync',
    'apiservice-discovery-controller',
    'kube-apiserver-autoregistration',
    'apiservice-openapi-controller',
    'apiservice-openapiv3-controller',
  ],
} as const;

/** Checks of upstream's names that are well once a part has begun its work. */
export function postStartChecks(part: keyof typeof hooks, hasBegun: () => boolean): readonly HealthCheck[] {
  return hooks[part].map(name => ({
    name: `poststarthook/${name}`,
    in: ['healthz', 'livez', 'readyz'],
    check: hasBegun,
  }));
}
