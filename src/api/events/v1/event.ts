import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, microTime, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { EventSource } from '../../core/v1/event-source.ts';
import { ObjectReference } from '../../core/v1/object-reference.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const EventSeries = object('io.k8s.api.events.v1.EventSeries', {
  count: int32(1, { required: true, always: true }),
  lastObservedTime: microTime(2, { required: true, always: true }),
});
export type EventSeries = TypeOf<typeof EventSeries>;

export const Event = defineKind({
  group: 'events.k8s.io',
  version: 'v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
  shortNames: ['ev'],
  type: 'io.k8s.api.events.v1.Event',
  fields: {
    action: string(6),
    deprecatedCount: int32(15),
    deprecatedFirstTimestamp: time(13),
    deprecatedLastTimestamp: time(14),
    deprecatedSource: struct(12, EventSource, { always: true }),
    eventTime: microTime(2, { required: true, always: true }),
    metadata: struct(1, ObjectMeta, { required: true }),
    note: string(10),
    reason: string(7),
    regarding: struct(8, ObjectReference, { always: true }),
    related: struct(9, ObjectReference),
    reportingController: string(4),
    reportingInstance: string(5),
    series: struct(3, EventSeries),
    type: string(11),
  },
});
export type Event = ObjectOf<typeof Event>;
