import { limits } from '#base/limits.ts';
import type { ApiServerOptions } from '#apiserver/server.ts';
import type { KubeApiserverArguments } from './flags/kube-apiserver.ts';

/** What upstream's flags say about how many requests are served at once. */
export function inFlightFrom(given: KubeApiserverArguments): ApiServerOptions['inFlight'] {
  return {
    readOnlyMax: given['max-requests-inflight'] ?? limits.readOnlyRequestsInFlightMax,
    mutatingMax: given['max-mutating-requests-inflight'] ?? limits.mutatingRequestsInFlightMax,
    fair: given['enable-priority-and-fairness'] ?? true,
  };
}
