import type { EventLimit } from './plugins/event-rate-limit.ts';
import type { ImagePolicy } from './plugins/image-policy-webhook.ts';
import type { PodTolerationConfiguration } from './plugins/pod-toleration-restriction.ts';
import type { PodSecurityConfiguration } from './pod-security/policy.ts';

/** What plugins are told beside what is in the cluster: from flags and from the file of `--admission-control-config-file`. */
export interface PluginConfiguration {
  readonly podSecurity?: PodSecurityConfiguration | undefined;
  readonly podNodeSelectors?: Readonly<Record<string, string>> | undefined;
  readonly podTolerations?: PodTolerationConfiguration | undefined;
  readonly eventLimits?: readonly EventLimit[] | undefined;
  readonly imagePolicy?: ImagePolicy | undefined;
  readonly limitedResources?: readonly LimitedResource[] | undefined;
  readonly tolerationSeconds?: TolerationSeconds | undefined;
}

/** What may be used at all only where a quota covers it. */
export interface LimitedResource {
  readonly apiGroup: string;
  /** The plural, with its subresource if it has one. */
  readonly resource: string;
  /** Parts of names of what a quota counts: `requests.storage`. */
  readonly matchContains: readonly string[];
  readonly matchScopes: readonly {
    readonly scopeName: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

export interface TolerationSeconds {
  readonly notReady?: number | undefined;
  readonly unreachable?: number | undefined;
}
