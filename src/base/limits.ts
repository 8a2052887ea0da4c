/** Every bound of the program in one place: name, value, unit, and why it has that value. */
export const limits = {
  /** Upstream's limit on a request body; more is 413. */
  requestBodyBytesMax: 3 * 1024 * 1024,
  /** etcd's default limit on one value; larger objects are refused. */
  objectBytesMax: 1_572_864,
  /** Nesting of a decoded document; more is 400 instead of a stack overflow. */
  documentDepthMax: 1_000,
  /** Upstream's limit on the operations of one JSON patch. */
  jsonPatchOperationsMax: 10_000,
  /** Events that a watch may lag behind before it is closed, and its client lists again. */
  watchBufferEventsMax: 4_096,
  /** Bytes that a watch connection may hold unsent before it is closed. */
  watchBufferBytesMax: 16 * 1024 * 1024,
  /** Revisions of one resource that the watch cache remembers for resuming watches. */
  watchHistoryEventsMax: 10_000,
  /** Bytes of the objects in such a history; large objects are remembered for fewer changes. */
  watchHistoryBytesMax: 24 * 1024 * 1024,
  /** Upstream's deadline for a request that is not long-running. */
  requestTimeoutMs: 60_000,
  /** For a single write, whatever its client grants (kube-apiserver: requestTimeoutUpperBound). */
  writeTimeoutMs: 34_000,
  /** Requests at once, read-only and mutating (upstream's defaults); priority and fairness divides the sum of both. */
  readOnlyRequestsInFlightMax: 400,
  mutatingRequestsInFlightMax: 200,
  /** Shapes of requests (who, what) whose priority level is remembered. */
  flowShapesMax: 8_192,
  /** A response shorter than this is not worth compressing (upstream's value). */
  gzipBytesMin: 128 * 1024,
  /** Upstream's cap on all Warning headers of one response, in characters. */
  warningHeaderCharactersMax: 4_096,
  /** One block of SPDY headers, and streams of one session (a port-forward opens two a connection). */
  spdyHeaderBytesMax: 256 * 1024,
  spdyStreamsMax: 1_000,
  /** One line of a log; longer lines are cut. */
  logLineBytesMax: 16 * 1024,
  /** One event of a watch as a client reads it: the largest object with room for its JSON. */
  watchLineBytesMax: 16 * 1024 * 1024,
  /** One message of an exec, attach or port-forward connection. */
  webSocketMessageBytesMax: 16 * 1024 * 1024,
  /** Writes of one controller under way; more would fill the queues of priority and fairness, and be refused. */
  controllerWritesInFlightMax: 64,
  /** Kubernetes Events that wait to be written; more are dropped (upstream's broadcaster: 1,000). */
  eventQueueMax: 1_000,
  /** Answers that the DNS cache keeps (upstream's capacity), and their bytes. */
  dnsCacheEntriesMax: 9_984,
  dnsCacheBytesMax: 16 * 1024 * 1024,
  /** Encoded answers for cluster names by their whole question; when there are more all are forgotten. */
  dnsLastingAnswersMax: 16_384,
  /** DNS queries under way, all and forwarded ones (each of these holds a socket); more are dropped or refused. */
  dnsQueriesInFlightMax: 10_000,
  dnsForwardsInFlightMax: 1_000,
  /** DNS connections by TCP, and the answers that one of them waits for before it is read on. */
  dnsConnectionsMax: 500,
  dnsQueriesPerConnectionMax: 64,
  /** Callers whose session affinity the kernel remembers, a family; more are served without. */
  affinityCallersMax: 65_536,
} as const;
