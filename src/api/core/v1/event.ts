import { defineKind, type ObjectOf } from '../../machinery/kind.ts';
import { int32, microTime, object, string, struct, time, type TypeOf } from '../../machinery/schema.ts';
import { EventSource } from './event-source.ts';
import { ObjectReference } from './object-reference.ts';
import type { ApiObject } from '../../machinery/kind.ts';
import { type EventView, eventColumns, involvedSelectors } from './event-columns.ts';
import { validateEvent } from './event-validation.ts';
import { ObjectMeta } from '../../meta/v1/object-meta.ts';

export const EventSeries = object('io.k8s.api.core.v1.EventSeries', {
  count: int32(1),
  lastObservedTime: microTime(2, { always: true }),
});
export type EventSeries = TypeOf<typeof EventSeries>;

export const Event = defineKind({
  group: '',
  version: 'v1',
  kind: 'Event',
  plural: 'events',
  namespaced: true,
  doc: 'Something that happened to an object, kept for an hour.',
  shortNames: ['ev'],
  type: 'io.k8s.api.core.v1.Event',
  fields: {
    action: string(12),
    count: int32(8),
    eventTime: microTime(10, { always: true }),
    firstTimestamp: time(6, { always: true }),
    involvedObject: struct(2, ObjectReference, { required: true, always: true }),
    lastTimestamp: time(7, { always: true }),
    message: string(4),
    metadata: struct(1, ObjectMeta, { required: true }),
    reason: string(3),
    related: struct(13, ObjectReference),
    reportingComponent: string(14, { always: true }),
    reportingInstance: string(15, { always: true }),
    series: struct(11, EventSeries),
    source: struct(5, EventSource, { always: true }),
    type: string(9),
  },
  metadataChecks: { update: [], standardFinalizers: false },
  columns: eventColumns(viewEvent),
  fieldSelectors: {
    ...involvedSelectors<WithInvolved>('involvedObject', event => event.involvedObject),
    reason: event => event.reason ?? '',
    reportingComponent: event => event.reportingComponent ?? '',
    source: event => event.source.component || event.reportingComponent || '',
    type: event => event.type ?? '',
  },
  createOnUpdate: true,
  garbageCollected: false,
  validate(event, report) {
    const { involvedObject, reportingComponent, message } = event;
    const parts = { involved: involvedObject, controller: reportingComponent, message };
    validateEvent(event, { ...parts, controllerField: 'reportingComponent' }, report);
  },
});
export type Event = ObjectOf<typeof Event>;

interface WithInvolved extends ApiObject {
  readonly involvedObject: ObjectReference;
}

interface CoreEvent extends WithInvolved {
  readonly type?: string | undefined;
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly source: EventSource;
  readonly reportingComponent?: string | undefined;
  readonly reportingInstance?: string | undefined;
  readonly firstTimestamp?: string | null | undefined;
  readonly lastTimestamp?: string | null | undefined;
  readonly eventTime?: string | null | undefined;
  readonly count?: number | undefined;
  readonly series?: EventSeries | undefined;
}

function viewEvent(event: CoreEvent): EventView {
  const firstSeen = event.firstTimestamp || event.eventTime || undefined;
  return {
    metadata: event.metadata,
    type: event.type ?? '',
    reason: event.reason ?? '',
    message: event.message ?? '',
    involved: event.involvedObject,
    component: event.source.component || event.reportingComponent || '',
    instance: event.source.host || event.reportingInstance || '',
    firstSeen,
    lastSeen: event.series ? event.series.lastObservedTime : event.lastTimestamp || firstSeen,
    count: event.series?.count ?? (event.count || 1),
  };
}
