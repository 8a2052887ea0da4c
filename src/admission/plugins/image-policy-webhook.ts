import type { Clock } from '#base/clock.ts';
import { Pod } from '#api/core/v1/pod.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission.ts';
import { forbidden, isOf, objectOf } from '../request.ts';

export interface ImagePolicy {
  /** Posts a review and resolves with the answer; throws an Error when there is none. */
  review(body: string, signal: AbortSignal): Promise<{ readonly code: number; readonly text: string }>;
  readonly allowTtlMs: number;
  readonly denyTtlMs: number;
  readonly retryBackoffMs: number;
  /** What holds when nobody answers. */
  readonly defaultAllow: boolean;
}

interface ReviewStatus {
  readonly allowed?: boolean;
  readonly reason?: string;
  readonly auditAnnotations?: Readonly<Record<string, string>>;
}

const cacheEntriesMax = 1024;
const attempts = 5;
const annotationPrefix = 'imagepolicywebhook.image-policy.k8s.io/';

/** Another server says which images may run. */
export function imagePolicyWebhook({ clock }: { readonly clock: Clock }, policy: ImagePolicy): AdmissionPlugin {
  /** Answers by what was asked, the oldest first. */
  const answers = new Map<string, { readonly status: ReviewStatus; readonly untilMs: number }>();
  const judge = async (request: AdmissionRequest, spec: string): Promise<ReviewStatus | undefined> => {
    const known = answers.get(spec);
    if (known && known.untilMs > clock.monotonic()) return known.status;
    answers.delete(spec);
    let status: ReviewStatus;
    try {
      status = await asked(policy, clock, spec, request.signal);
    } catch (error) {
      if (!policy.defaultAllow) throw forbidden(request, (error as Error).message);
      request.annotate(`${annotationPrefix}failed-open`, 'true');
      return undefined;
    }
    const oldest = answers.keys().next();
    if (answers.size >= cacheEntriesMax && !oldest.done) answers.delete(oldest.value);
    const ttlMs = status.allowed === true ? policy.allowTtlMs : policy.denyTtlMs;
    answers.set(spec, { status, untilMs: clock.monotonic() + ttlMs });
    return status;
  };
  return {
    name: 'ImagePolicyWebhook',
    handles: request =>
      isOf(request, Pod) &&
      (request.operation === 'CREATE' || request.operation === 'UPDATE') &&
      (request.subresource === '' || request.subresource === 'ephemeralcontainers'),
    async validate(request) {
      const pod = objectOf(Pod, request);
      const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? {};
      const images =
        request.subresource === '' ? [...initContainers, ...containers, ...ephemeralContainers] : ephemeralContainers;
      const annotations = Object.entries(pod.metadata.annotations ?? {}).filter(([key]) =>
        key.includes('.image-policy.k8s.io/'),
      );
      const spec = JSON.stringify({
        containers: images.map(({ image }) => ({ image })),
        ...(annotations.length > 0 && { annotations: Object.fromEntries(annotations) }),
        namespace: request.namespace,
      });
      const status = await judge(request, spec);
      if (!status) return;
      for (const [key, value] of Object.entries(status.auditAnnotations ?? {}))
        request.annotate(`${annotationPrefix}${key}`, value);
      if (status.allowed === true) return;
      const reason = status.reason ?? '';
      throw forbidden(
        request,
        reason === ''
          ? 'one or more images rejected by webhook backend'
          : `image policy webhook backend denied one or more images: ${reason}`,
      );
    },
  };
}

/** Tried again with a growing pause while the server is in trouble. */
async function asked(policy: ImagePolicy, clock: Clock, spec: string, signal: AbortSignal): Promise<ReviewStatus> {
  const body = `{"apiVersion":"imagepolicy.k8s.io/v1alpha1","kind":"ImageReview","metadata":{},"spec":${spec},"status":{}}`;
  for (let attempt = 1; ; attempt++) {
    let problem: Error;
    try {
      const { code, text } = await policy.review(body, signal);
      if (code >= 200 && code < 300) return (JSON.parse(text) as { status?: ReviewStatus }).status ?? {};
      problem = new Error(`Error contacting webhook: ${code}`);
      if (code < 500 && code !== 429) attempt = attempts;
    } catch (error) {
      problem = error as Error;
    }
    if (attempt === attempts || signal.aborted) throw problem;
    await clock.sleep(policy.retryBackoffMs * 1.5 ** (attempt - 1), signal);
  }
}
