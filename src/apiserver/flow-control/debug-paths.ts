import type { RawPath } from '../subresource.ts';
import { textResponse } from '../text.ts';
import type { FlowControl, Level } from './flow-control.ts';
import type { Ticket } from './queue-set.ts';

/** Who waits for what, as tables: a row a level, a queue, a request. */
export function flowControlDebugPaths(flowControl: FlowControl, nowMs: () => number): readonly RawPath[] {
  const path = (name: string, rows: (query: URLSearchParams) => readonly (readonly string[])[]): RawPath => ({
    path: `/debug/api_priority_and_fairness/${name}`,
    handle: ({ query }) => textResponse(200, tabulated(rows(query))),
  });
  return [
    path('dump_priority_levels', () => [levelHeaders, ...flowControl.levels.map(levelRow)]),
    path('dump_queues', () => [queueHeaders, ...flowControl.levels.flatMap(queueRows)]),
    path('dump_requests', query => {
      const details = (query.get('includeRequestDetails') ?? '') !== '';
      return [
        details ? [...requestHeaders, ...detailHeaders] : requestHeaders,
        ...flowControl.levels.flatMap(level => requestRows(level, details, nowMs())),
      ];
    }),
  ];
}

const levelHeaders = [
  'PriorityLevelName',
  'ActiveQueues',
  'IsIdle',
  'IsQuiescing',
  'WaitingRequests',
  'ExecutingRequests',
  'DispatchedRequests',
  'RejectedRequests',
  'TimedoutRequests',
  'CancelledRequests',
];

function levelRow({ name, queues, quiescing }: Level): readonly string[] {
  const active = queues.queues.filter(({ waiting }) => waiting.length > 0).length;
  return [
    name,
    active,
    queues.isIdle,
    quiescing,
    queues.waitingRequests,
    queues.executingRequests,
    queues.dispatched,
    queues.rejected,
    queues.timedOut,
    queues.cancelled,
  ].map(String);
}

const queueHeaders = [
  'PriorityLevelName',
  'Index',
  'PendingRequests',
  'ExecutingRequests',
  'SeatsInUse',
  'NextDispatchR',
  'InitialSeatsSum',
  'MaxSeatsSum',
  'TotalWorkSum',
];

function queueRows({ name, queues }: Level): readonly (readonly string[])[] {
  return queues.queues.map(queue => [
    name,
    String(queue.index),
    String(queue.waiting.length),
    String(queue.executing.size),
    String(queue.seatsInUse),
    seatSeconds(queue.nextDispatchR),
    String(queue.waiting.reduce((sum, { work }) => sum + work.initialSeats, 0)),
    String(queue.waiting.reduce((sum, { seats }) => sum + seats, 0)),
    seatSeconds(queue.waitingWork),
  ]);
}

function seatSeconds(value: number): string {
  return `${value.toFixed(8)}ss`;
}

const requestHeaders = [
  'PriorityLevelName',
  'FlowSchemaName',
  'QueueIndex',
  'RequestIndexInQueue',
  'FlowDistingsher',
  'ArriveTime',
  'InitialSeats',
  'FinalSeats',
  'AdditionalLatency',
  'StartTime',
];

const detailHeaders = ['UserName', 'Verb', 'APIPath', 'Namespace', 'Name', 'APIVersion', 'Resource', 'SubResource'];

/** `offsetMs` turns times of the monotonic clock into times of day. */
function requestRows({ name, queues }: Level, details: boolean, offsetMs: number): readonly (readonly string[])[] {
  const row = (ticket: Ticket, queueIndex: number, index: number): readonly string[] => {
    const note = ticket.note();
    const { userName, verb, path, namespace, name: objectName, apiVersion, resource, subresource } = note;
    return [
      name,
      note.schema,
      String(queueIndex),
      String(index),
      note.distinguisher,
      timeOf(ticket.arrivalMs + offsetMs),
      String(ticket.work.initialSeats),
      String(ticket.work.finalSeats),
      `${ticket.work.finalMs}ms`,
      ticket.state === 'waiting' ? '0001-01-01T00:00:00Z' : timeOf(ticket.startMs + offsetMs),
      ...(details ? [userName, verb, path, namespace, objectName, apiVersion, resource, subresource] : []),
    ];
  };
  return [
    ...queues.queues.flatMap(({ index, waiting, executing }) => [
      ...waiting.map((ticket, position) => row(ticket, index, position)),
      ...[...executing].map(ticket => row(ticket, index, -1)),
    ]),
    ...[...queues.queueless].map(ticket => row(ticket, -1, -1)),
  ];
}

function timeOf(timeMs: number): string {
  return new Date(timeMs).toISOString();
}

/** Columns as wide as their widest cell, as Go's tabwriter sets them. */
function tabulated(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const cells of rows)
    for (const [column, cell] of cells.slice(0, -1).entries())
      widths[column] = Math.max(widths[column] ?? 8, cell.length + 2);
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? cell : `${cell},`.padEnd(widths[column] as number)))
      .join('');
  return `${rows.map(line).join('\n')}\n`;
}
