import { boolean, wholeNumber } from './component.ts';

/** How requests are limited, written down, encrypted and traced. */
export const requestFlags = {
  'enable-priority-and-fairness': boolean('whether FlowSchemas and priority levels divide the work (default true)'),
  'max-requests-inflight': wholeNumber('reading requests worked on at once (default 400)'),
  'max-mutating-requests-inflight': wholeNumber('writing requests worked on at once (default 200)'),
};
