export interface CniSettings {
  readonly podCidr: string;
  readonly bridge: string;
  readonly dataDir: string;
}

/**
 * The pods' network, as CNI's plugins take it (https://www.cni.dev/plugins/current/main/bridge/): a bridge that is the
 * pods' gateway, addresses of the pod range, masquerading for what leaves the node, and host ports.
 */
export function cniConfiguration({ podCidr, bridge, dataDir }: CniSettings): string {
  return JSON.stringify(
    {
      cniVersion: '0.4.0',
      name: 'hamlet',
      plugins: [
        {
          type: 'bridge',
          bridge,
          isGateway: true,
          ipMasq: true,
          ipam: {
            type: 'host-local',
            dataDir,
            ranges: [[{ subnet: podCidr }]],
            routes: [{ dst: '0.0.0.0/0' }],
          },
        },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    },
    null,
    2,
  );
}
