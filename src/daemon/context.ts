/** What the parts of the daemon hand to each other. */
import type { EtcdClient } from '../etcd-watch/etcd-watch.ts';
import type { ExternalInterface } from '../external-interface/external-interface.ts';
import type { HeldLease, LeaseManager } from '../lease/lease-manager.ts';
import type { Logger } from '../log/log.ts';
import type { NativeAddon, UdpSocket } from '../native/addon.ts';
import type { NetworkConfig } from '../network-config/network-config.ts';
import type { Rtnetlink } from '../rtnetlink/rtnetlink.ts';
import type { DaemonOptions } from './options.ts';
import type { UndoStack } from './undo-stack.ts';

/** What every part of the start needs. */
export interface DaemonContext {
  readonly options: DaemonOptions;
  readonly logger: Logger;
  readonly native: NativeAddon;
  readonly rtnetlink: Rtnetlink;
  readonly client: EtcdClient;
  readonly undo: UndoStack;
  /** Aborted with a `StopRequest` by the first stop signal. */
  readonly signal: AbortSignal;
}

/** The host's place in the network, before anything of the system was changed. */
export interface Claim {
  readonly external: ExternalInterface;
  readonly config: NetworkConfig;
  readonly port: number;
  /** For each worker a set: the first receives and sends, the others only send. */
  readonly sockets: readonly (readonly UdpSocket[])[];
  readonly manager: LeaseManager;
  readonly held: HeldLease;
}
