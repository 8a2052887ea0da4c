import { ageColumn, nameColumn, text } from '../../machinery/columns.ts';
import type { Column, WithSpec } from '../../machinery/kind.ts';
import type {
  HorizontalPodAutoscalerSpec,
  HorizontalPodAutoscalerStatus,
  MetricSpec,
  MetricStatus,
} from './horizontal-pod-autoscaler.ts';

type AutoscalerLike = WithSpec<HorizontalPodAutoscalerSpec, HorizontalPodAutoscalerStatus>;

/** What `kubectl get hpa` shows, for both versions. */
export const autoscalerColumns: readonly Column<AutoscalerLike>[] = [
  nameColumn,
  text('Reference', 'What it scales.', ({ spec }) => `${spec.scaleTargetRef.kind}/${spec.scaleTargetRef.name}`),
  text('Targets', 'Measured and wanted.', ({ spec, status }) =>
    targetsOf(spec.metrics ?? [], status.currentMetrics ?? []),
  ),
  text('MinPods', 'Fewest pods.', ({ spec }) =>
    spec.minReplicas === undefined ? '<unset>' : String(spec.minReplicas),
  ),
  text('MaxPods', 'Most pods.', ({ spec }) => spec.maxReplicas),
  text('Replicas', 'Present pods.', ({ status }) => status.currentReplicas ?? 0),
  ageColumn,
];

function targetsOf(metrics: readonly MetricSpec[], measured: readonly MetricStatus[]): string {
  if (metrics.length === 0) return '<none>';
  const shown = metrics.map((metric, index) => targetOf(metric, measured[index]));
  return metrics.length > 2 ? `${shown.slice(0, 2).join(', ')} + ${metrics.length - 2} more...` : shown.join(', ');
}

const unknown = '<unknown>';

function targetOf(metric: MetricSpec, measured: MetricStatus | undefined): string {
  switch (metric.type) {
    case 'External':
    case 'Object': {
      const name = metric.type === 'External' ? 'external' : 'object';
      const target = metric[name]?.target;
      const current = measured?.[name]?.current;
      if (target?.averageValue !== undefined) return `${current?.averageValue ?? unknown}/${target.averageValue} (avg)`;
      return `${current?.value ?? unknown}/${target?.value ?? '<nil>'}`;
    }
    case 'Pods':
      return `${measured?.pods?.current.averageValue ?? unknown}/${metric.pods?.target.averageValue ?? '<nil>'}`;
    case 'Resource':
    case 'ContainerResource': {
      const name = metric.type === 'Resource' ? 'resource' : 'containerResource';
      const target = metric[name]?.target;
      const current = measured?.[name]?.current;
      const resource = metric[name]?.name ?? '';
      if (target?.averageValue !== undefined)
        return `${resource}: ${current?.averageValue ?? unknown}/${target.averageValue}`;
      const percent = (value: number | undefined, absent: string) => (value === undefined ? absent : `${value}%`);
      const shown = percent(current?.averageUtilization, unknown);
      return `${resource}: ${shown}/${percent(target?.averageUtilization, '<auto>')}`;
    }
    default:
      return '<unknown type>';
  }
}
