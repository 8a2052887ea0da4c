import { messageCodec, type ReceivedMessage, type SentMessage } from '#api/machinery/message-codec.ts';

/**
 * What the kubelet and its plugins say to each other, each field with its number and type: device plugins (v1beta1), the
 * registration of plugins (v1), DRA plugins (v1 and v1beta1 alike), the health of their devices (v1alpha1, v1beta1), and
 * the pod resources API (v1). Names that several of them use carry a prefix.
 */
const messages = {
  Empty: {},
  DevicePluginOptions: { pre_start_required: [1, 'bool'], get_preferred_allocation_available: [2, 'bool'] },
  RegisterRequest: {
    version: [1, 'string'],
    endpoint: [2, 'string'],
    resource_name: [3, 'string'],
    options: [4, 'DevicePluginOptions'],
  },
  ListAndWatchResponse: { devices: [1, 'PluginDevice[]'] },
  TopologyInfo: { nodes: [1, 'NUMANode[]'] },
  NUMANode: { ID: [1, 'int64'] },
  PluginDevice: { ID: [1, 'string'], health: [2, 'string'], topology: [3, 'TopologyInfo'] },
  PreStartContainerRequest: { devices_ids: [1, 'string[]'] },
  PreferredAllocationRequest: { container_requests: [1, 'ContainerPreferredAllocationRequest[]'] },
  ContainerPreferredAllocationRequest: {
    available_deviceIDs: [1, 'string[]'],
    must_include_deviceIDs: [2, 'string[]'],
    allocation_size: [3, 'int32'],
  },
  PreferredAllocationResponse: { container_responses: [1, 'ContainerPreferredAllocationResponse[]'] },
  ContainerPreferredAllocationResponse: { deviceIDs: [1, 'string[]'] },
  AllocateRequest: { container_requests: [1, 'ContainerAllocateRequest[]'] },
  ContainerAllocateRequest: { devices_ids: [1, 'string[]'] },
  CDIDevice: { name: [1, 'string'] },
  AllocateResponse: { container_responses: [1, 'ContainerAllocateResponse[]'] },
  ContainerAllocateResponse: {
    envs: [1, 'map<string,string>'],
    mounts: [2, 'PluginMount[]'],
    devices: [3, 'DeviceSpec[]'],
    annotations: [4, 'map<string,string>'],
    cdi_devices: [5, 'CDIDevice[]'],
  },
  PluginMount: { container_path: [1, 'string'], host_path: [2, 'string'], read_only: [3, 'bool'] },
  DeviceSpec: { container_path: [1, 'string'], host_path: [2, 'string'], permissions: [3, 'string'] },

  PluginInfo: {
    type: [1, 'string'],
    name: [2, 'string'],
    endpoint: [3, 'string'],
    supported_versions: [4, 'string[]'],
  },
  RegistrationStatus: { plugin_registered: [1, 'bool'], error: [2, 'string'] },

  Claim: { namespace: [1, 'string'], uid: [2, 'string'], name: [3, 'string'] },
  NodePrepareResourcesRequest: { claims: [1, 'Claim[]'] },
  NodePrepareResourcesResponse: { claims: [1, 'map<string,NodePrepareResourceResponse>'] },
  NodePrepareResourceResponse: { devices: [1, 'PreparedDevice[]'], error: [2, 'string'] },
  PreparedDevice: {
    request_names: [1, 'string[]'],
    pool_name: [2, 'string'],
    device_name: [3, 'string'],
    cdi_device_ids: [4, 'string[]'],
    share_id: [5, 'string'],
  },
  NodeUnprepareResourcesRequest: { claims: [1, 'Claim[]'] },
  NodeUnprepareResourcesResponse: { claims: [1, 'map<string,NodeUnprepareResourceResponse>'] },
  NodeUnprepareResourceResponse: { error: [1, 'string'] },

  DeviceIdentifier: { pool_name: [1, 'string'], device_name: [2, 'string'] },
  DeviceHealth: {
    device: [1, 'DeviceIdentifier'],
    health: [2, 'HealthStatus'],
    last_updated_time: [3, 'int64'],
    health_check_timeout_seconds: [4, 'int64'],
    message: [5, 'string'],
  },
  NodeWatchResourcesResponse: { devices: [1, 'DeviceHealth[]'] },

  ListPodResourcesResponse: { pod_resources: [1, 'PodResources[]'] },
  PodResources: { name: [1, 'string'], namespace: [2, 'string'], containers: [3, 'ContainerResources[]'] },
  ContainerResources: {
    name: [1, 'string'],
    devices: [2, 'ContainerDevices[]'],
    cpu_ids: [3, 'int64[]'],
    memory: [4, 'ContainerMemory[]'],
    dynamic_resources: [5, 'DynamicResource[]'],
  },
  ContainerMemory: { memory_type: [1, 'string'], size: [2, 'uint64'], topology: [3, 'TopologyInfo'] },
  ContainerDevices: { resource_name: [1, 'string'], device_ids: [2, 'string[]'], topology: [3, 'TopologyInfo'] },
  DynamicResource: {
    claim_name: [2, 'string'],
    claim_namespace: [3, 'string'],
    claim_resources: [4, 'ClaimResource[]'],
  },
  ClaimResource: {
    cdi_devices: [1, 'CDIDevice[]'],
    driver_name: [2, 'string'],
    pool_name: [3, 'string'],
    device_name: [4, 'string'],
  },
  AllocatableResourcesResponse: {
    devices: [1, 'ContainerDevices[]'],
    cpu_ids: [2, 'int64[]'],
    memory: [3, 'ContainerMemory[]'],
  },
  GetPodResourcesRequest: { pod_name: [1, 'string'], pod_namespace: [2, 'string'] },
  GetPodResourcesResponse: { pod_resources: [1, 'PodResources'] },
} as const;

const enums = { HealthStatus: ['Unknown', 'Healthy', 'Unhealthy'] } as const;

export type PluginMessageName = keyof typeof messages;
export type Sent<Name extends PluginMessageName> = SentMessage<typeof messages, typeof enums, Name>;
export type Received<Name extends PluginMessageName> = ReceivedMessage<typeof messages, typeof enums, Name>;

export const pluginCodec = messageCodec(messages, enums);

/** Every method by its path, with what is asked and what is answered. */
export const methods = {
  '/v1beta1.Registration/Register': ['RegisterRequest', 'Empty'],
  '/v1beta1.DevicePlugin/GetDevicePluginOptions': ['Empty', 'DevicePluginOptions'],
  '/v1beta1.DevicePlugin/ListAndWatch': ['Empty', 'ListAndWatchResponse'],
  '/v1beta1.DevicePlugin/GetPreferredAllocation': ['PreferredAllocationRequest', 'PreferredAllocationResponse'],
  '/v1beta1.DevicePlugin/Allocate': ['AllocateRequest', 'AllocateResponse'],
  '/v1beta1.DevicePlugin/PreStartContainer': ['PreStartContainerRequest', 'Empty'],
  '/pluginregistration.Registration/GetInfo': ['Empty', 'PluginInfo'],
  '/pluginregistration.Registration/NotifyRegistrationStatus': ['RegistrationStatus', 'Empty'],
  '/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources': [
    'NodePrepareResourcesRequest',
    'NodePrepareResourcesResponse',
  ],
  '/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodeUnprepareResources': [
    'NodeUnprepareResourcesRequest',
    'NodeUnprepareResourcesResponse',
  ],
  '/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodePrepareResources': [
    'NodePrepareResourcesRequest',
    'NodePrepareResourcesResponse',
  ],
  '/k8s.io.kubelet.pkg.apis.dra.v1beta1.DRAPlugin/NodeUnprepareResources': [
    'NodeUnprepareResourcesRequest',
    'NodeUnprepareResourcesResponse',
  ],
  '/v1alpha1.DRAResourceHealth/NodeWatchResources': ['Empty', 'NodeWatchResourcesResponse'],
  '/v1beta1.DRAResourceHealth/NodeWatchResources': ['Empty', 'NodeWatchResourcesResponse'],
  '/v1.PodResourcesLister/List': ['Empty', 'ListPodResourcesResponse'],
  '/v1.PodResourcesLister/GetAllocatableResources': ['Empty', 'AllocatableResourcesResponse'],
  '/v1.PodResourcesLister/Get': ['GetPodResourcesRequest', 'GetPodResourcesResponse'],
} as const satisfies Readonly<Record<string, readonly [PluginMessageName, PluginMessageName]>>;

export type Method = keyof typeof methods;
export type Asked<Of extends Method> = (typeof methods)[Of][0];
export type Answered<Of extends Method> = (typeof methods)[Of][1];
