import { resolve } from 'node:path';
import { auditModes } from '#auth/audit/open-audit.ts';
import { boolean, choice, type ComponentFlag, duration, file, wholeNumber } from './component.ts';

/** `-`, or a file that need not be there yet; its absolute path is kept. */
function logPath(does: string): ComponentFlag<string> {
  const parse = (given: string) => (given === '-' ? given : resolve(given));
  return { does, value: 'FILE', parse, kept: parse };
}

function positive(does: string): ComponentFlag<number> {
  return {
    does,
    value: 'N',
    parse(given) {
      if (!/^[1-9]\d{0,14}$/.test(given))
        throw new Error(`takes a positive whole number, not ${JSON.stringify(given)}`);
      return Number(given);
    },
  };
}

/** Comma-separated, each read by itself; the flag may be given several times. */
function several<Value>(does: string, value: string, read: (text: string) => Value): ComponentFlag<readonly Value[]> {
  return {
    does,
    value,
    parse: given => given.split(',').map(each => read(each.trim())),
    merge: (before, next) => [...before, ...next],
  };
}

/** Pinned on both sides, as upstream demands: an origin that only contains the text is another one (CVE-2022-1996). */
function originPattern(text: string): RegExp {
  if (text === '') throw new Error('has an empty value');
  const pinned = ['^', '//'].some(each => text.includes(each)) && ['$', ':'].some(each => text.includes(each));
  if (!pinned)
    throw new Error(
      `takes regular expressions that pin to start/end of host in the origin header, like //example\\.com(:|$), not ${JSON.stringify(text)}`,
    );
  try {
    return new RegExp(text);
  } catch (error) {
    throw new Error(`has an invalid regular expression: ${(error as Error).message}`, { cause: error });
  }
}

function directive(text: string): string {
  const trimmed = text.trim();
  if (!/^(includeSubDomains|preload|max-age=\d+)$/.test(trimmed))
    throw new Error(
      `has the invalid value ${JSON.stringify(trimmed)}, allowed values: max-age=expireTime, includeSubDomains, preload`,
    );
  return trimmed;
}

/** How requests are limited, written down, encrypted and traced. */
export const requestFlags = {
  'enable-priority-and-fairness': boolean('whether FlowSchemas and priority levels divide the work (default true)'),
  'max-requests-inflight': wholeNumber('reading requests worked on at once (default 400)'),
  'max-mutating-requests-inflight': wholeNumber('writing requests worked on at once (default 200)'),
  'request-timeout': duration('how long a request may take that is not long-running (default 1m0s)'),
  'shutdown-delay-duration': duration('how long the server serves on, no longer ready, before it ends (default 0s)'),
  'shutdown-send-retry-after': boolean('whether what comes while it ends is sent elsewhere with 429 (default false)'),
  'goaway-chance': {
    does: 'how often, of one, a client of HTTP/2 is asked to open another connection (default 0; at most 0.02)',
    value: 'FLOAT',
    parse(given) {
      const chance = Number(given);
      if (given === '' || !(chance >= 0 && chance <= 0.02))
        throw new Error('can not be less than 0 or greater than 0.02');
      return chance;
    },
  } satisfies ComponentFlag<number>,
  'cors-allowed-origins': several(
    'origins whose pages may use the API, as regular expressions',
    'REGEXPS',
    originPattern,
  ),
  'strict-transport-security-directives': several(
    'what Strict-Transport-Security says: max-age=SECONDS, includeSubDomains, preload',
    'LIST',
    directive,
  ),
  'encryption-provider-config': file('the EncryptionConfiguration that says what is stored encrypted'),
  'encryption-provider-config-automatic-reload': boolean('whether a change of that file is taken over (default false)'),
  'tracing-config-file': file('the TracingConfiguration that says where traces of requests are sent'),
  'audit-policy-file': file('the audit.k8s.io/v1 Policy that says what is written down'),
  'audit-log-path': logPath('where audit events are written; - is standard output'),
  'audit-log-format': choice('how they are written (default json)', ['json', 'legacy']),
  'audit-log-version': choice('the version they are written in', ['audit.k8s.io/v1']),
  'audit-log-maxage': wholeNumber('days that old audit logs are kept (default 366; 0: for ever)'),
  'audit-log-maxbackup': wholeNumber('old audit logs that are kept (default 100; 0: all)'),
  'audit-log-maxsize': wholeNumber('megabytes at which an audit log is put aside (default 100; 0: never)'),
  'audit-log-compress': boolean('whether old audit logs are compressed (default false)'),
  'audit-webhook-config-file': file('a kubeconfig that says where audit events are sent'),
  'audit-webhook-version': choice('the version they are sent in', ['audit.k8s.io/v1']),
  'audit-webhook-initial-backoff': duration('the pause before a request that failed is sent again (default 10s)'),
  'audit-log-mode': choice('whether requests wait for their events (default blocking)', auditModes),
  'audit-log-batch-buffer-size': positive('events kept in memory (default 10000)'),
  'audit-log-batch-max-size': positive('events sent together (default 1)'),
  'audit-log-batch-max-wait': duration('how long events are collected (default 0)'),
  'audit-log-batch-throttle-enable': boolean('whether batches are held back (default false)'),
  'audit-log-batch-throttle-qps': positive('batches a second (default 0)'),
  'audit-log-batch-throttle-burst': positive('batches at once after a pause (default 0)'),
  'audit-log-truncate-enabled': boolean('whether events that are too large are shortened (default false)'),
  'audit-log-truncate-max-event-size': positive('bytes of the largest event (default 102400)'),
  'audit-log-truncate-max-batch-size': positive('bytes of the largest batch (default 10485760)'),
  'audit-webhook-mode': choice('whether requests wait for their events (default batch)', auditModes),
  'audit-webhook-batch-buffer-size': positive('events kept in memory (default 10000)'),
  'audit-webhook-batch-max-size': positive('events sent together (default 400)'),
  'audit-webhook-batch-max-wait': duration('how long events are collected (default 30s)'),
  'audit-webhook-batch-throttle-enable': boolean('whether batches are held back (default true)'),
  'audit-webhook-batch-throttle-qps': positive('batches a second (default 10)'),
  'audit-webhook-batch-throttle-burst': positive('batches at once after a pause (default 15)'),
  'audit-webhook-truncate-enabled': boolean('whether events that are too large are shortened (default false)'),
  'audit-webhook-truncate-max-event-size': positive('bytes of the largest event (default 102400)'),
  'audit-webhook-truncate-max-batch-size': positive('bytes of the largest batch (default 10485760)'),
};
