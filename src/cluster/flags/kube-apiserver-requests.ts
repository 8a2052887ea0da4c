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

/** How requests are limited, written down, encrypted and traced. */
export const requestFlags = {
  'enable-priority-and-fairness': boolean('whether FlowSchemas and priority levels divide the work (default true)'),
  'max-requests-inflight': wholeNumber('reading requests worked on at once (default 400)'),
  'max-mutating-requests-inflight': wholeNumber('writing requests worked on at once (default 200)'),
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
