import { limits } from '#base/limits.ts';
import type { AuditOptions } from '#auth/audit/open-audit.ts';
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

/** Undefined where nothing is said of browsers. */
export function browsersFrom(given: KubeApiserverArguments): ApiServerOptions['browsers'] {
  const { 'cors-allowed-origins': origins, 'strict-transport-security-directives': directives } = given;
  if (!origins && !directives) return undefined;
  return { allowedOrigins: origins ?? [], strictTransportSecurity: directives ?? [] };
}

/** Where upstream's flags want the audit log. Throws a sentence for flags that do not fit together. */
export function auditFrom(given: KubeApiserverArguments): AuditOptions {
  const path = given['audit-log-path'];
  const file = given['audit-webhook-config-file'];
  const megabyte = 1024 * 1024;
  return {
    policyFile: given['audit-policy-file'],
    log:
      path === undefined
        ? undefined
        : {
            path,
            format: given['audit-log-format'] ?? 'json',
            bytesMax: (given['audit-log-maxsize'] ?? 100) * megabyte,
            backupsMax: given['audit-log-maxbackup'] ?? 100,
            ageMaxMs: (given['audit-log-maxage'] ?? 366) * 86_400_000,
            compress: given['audit-log-compress'] ?? false,
            mode: given['audit-log-mode'] ?? 'blocking',
            batch: {
              bufferMax: given['audit-log-batch-buffer-size'] ?? 10_000,
              batchMax: given['audit-log-batch-max-size'] ?? 1,
              waitMs: given['audit-log-batch-max-wait'] ?? 0,
              ...throttleOf(
                given['audit-log-batch-throttle-enable'] ?? false,
                given['audit-log-batch-throttle-qps'] ?? 0,
                given['audit-log-batch-throttle-burst'] ?? 0,
              ),
            },
            truncate: truncateOf(
              'log',
              given['audit-log-truncate-enabled'],
              given['audit-log-truncate-max-event-size'],
              given['audit-log-truncate-max-batch-size'],
            ),
          },
    webhook:
      file === undefined
        ? undefined
        : {
            file,
            firstPauseMs: given['audit-webhook-initial-backoff'] ?? 10_000,
            mode: given['audit-webhook-mode'] ?? 'batch',
            batch: {
              bufferMax: given['audit-webhook-batch-buffer-size'] ?? 10_000,
              batchMax: given['audit-webhook-batch-max-size'] ?? 400,
              waitMs: given['audit-webhook-batch-max-wait'] ?? 30_000,
              ...throttleOf(
                given['audit-webhook-batch-throttle-enable'] ?? true,
                given['audit-webhook-batch-throttle-qps'] ?? 10,
                given['audit-webhook-batch-throttle-burst'] ?? 15,
              ),
            },
            truncate: truncateOf(
              'webhook',
              given['audit-webhook-truncate-enabled'],
              given['audit-webhook-truncate-max-event-size'],
              given['audit-webhook-truncate-max-batch-size'],
            ),
          },
  };
}

function throttleOf(enabled: boolean, perSecond: number, burst: number) {
  return enabled ? { throttle: { perSecond, burst } } : {};
}

function truncateOf(plugin: string, enabled = false, eventBytesMax = 102_400, batchBytesMax = 10_485_760) {
  if (batchBytesMax < eventBytesMax)
    throw new Error(
      `invalid audit truncate ${plugin} max batch size ${batchBytesMax}, must be greater than max event size (${eventBytesMax})`,
    );
  return enabled ? { eventBytesMax, batchBytesMax } : undefined;
}
