/** What an operator may choose; names and defaults are upstream's flags. */
export interface AutoscalerOptions {
  readonly scanIntervalMs: number;
  readonly scaleDownEnabled: boolean;
  readonly scaleDownUnneededMs: number;
  /** For nodes that are not ready. */
  readonly scaleDownUnreadyMs: number;
  readonly scaleDownDelayAfterAddMs: number;
  readonly scaleDownDelayAfterDeleteMs: number;
  readonly scaleDownDelayAfterFailureMs: number;
  /** Nodes that are used less than this may go, if their pods find another place. */
  readonly scaleDownUtilizationThreshold: number;
  readonly maxNodeProvisionMs: number;
  /** Empty nodes that go at once. */
  readonly maxEmptyBulkDelete: number;
  /** How long a node's pods may take to go. */
  readonly maxPodEvictionMs: number;
  readonly skipNodesWithLocalStorage: boolean;
  readonly skipNodesWithSystemPods: boolean;
}

const minuteMs = 60_000;

export const defaultOptions: AutoscalerOptions = {
  scanIntervalMs: 10_000,
  scaleDownEnabled: true,
  scaleDownUnneededMs: 10 * minuteMs,
  scaleDownUnreadyMs: 20 * minuteMs,
  scaleDownDelayAfterAddMs: 10 * minuteMs,
  scaleDownDelayAfterDeleteMs: 0,
  scaleDownDelayAfterFailureMs: 3 * minuteMs,
  scaleDownUtilizationThreshold: 0.5,
  maxNodeProvisionMs: 15 * minuteMs,
  maxEmptyBulkDelete: 10,
  maxPodEvictionMs: 10 * minuteMs,
  skipNodesWithLocalStorage: true,
  skipNodesWithSystemPods: true,
};
