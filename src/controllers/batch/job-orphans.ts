import { Job } from '#api/batch/v1/job.ts';
import { Pod } from '#api/core/v1/pod.ts';
import { patch } from '../actions.ts';
import { defineController } from '../controller.ts';
import { controllerOf, watched } from '../reads.ts';
import { trackingFinalizer } from './job.ts';

/** Lets go of pods whose job is gone: nobody will count their end, and without this they would stay for ever. */
export const jobOrphansController = defineController({
  name: 'job-orphans-controller',
  account: 'job-controller',
  component: 'job-controller',
  reconciles: Pod,
  concerns: ({ metadata }) => metadata.finalizers?.includes(trackingFinalizer) ?? false,
  changed: (pod, old) => pod.metadata.ownerReferences !== old.metadata.ownerReferences,
  reads: {
    job: watched<Pod, Job, Job | undefined>(
      Job,
      jobs => pod => {
        const owner = controllerOf(pod);
        const job = owner?.kind === 'Job' ? jobs.get(owner.name, pod.metadata.namespace) : undefined;
        return job?.metadata.uid === owner?.uid ? job : undefined;
      },
      (job, _old, pods, event) =>
        event === 'deleted'
          ? pods
              .index('controller', pod => {
                const owner = controllerOf(pod);
                return owner ? [owner.uid] : [];
              })
              .get(job.metadata.uid ?? '')
              .keys()
          : [],
    ),
  },
  writes: [Pod],
  decide: (pod, { job }) =>
    job
      ? []
      : [
          patch(Pod, pod, {
            metadata: { uid: pod.metadata.uid, '$deleteFromPrimitiveList/finalizers': [trackingFinalizer] },
          }),
        ],
});
