import type { Forwarder } from '../backend/forwarder.ts';
import type { Clock } from '../etcd-watch/etcd-watch.ts';
import type { IpAddress } from '../ip/ip.ts';
import type { Logger } from '../log/log.ts';
import type { NativeAddon } from '../native/addon.ts';
import type { Rtnetlink } from '../rtnetlink/rtnetlink.ts';

/** RTMGRP_IPV4_IFADDR (linux/rtnetlink.h) */
const IPV4_ADDRESS_GROUP = 0x10;
/** A reading that failed (out of descriptors, a table that would not stand still) is tried again after this. */
const RETRY_MS = 1_000;

export interface LocalAddressesDeps {
  readonly native: Pick<NativeAddon, 'startNetlinkMonitor' | 'stopNetlinkMonitor'>;
  readonly rtnetlink: Pick<Rtnetlink, 'addresses'>;
  readonly forwarder: Pick<Forwarder, 'setLocalAddresses'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps the packet path's set of this host's own addresses in step with the kernel: docker0, for one, gets its address
 * long after the daemon has started. Where they cannot be read, the last known ones stay.
 * @returns what stops it.
 */
export function followLocalAddresses({ native, rtnetlink, forwarder, clock, logger }: LocalAddressesDeps): () => void {
  let cancelRetry = () => {};
  let failure: string | undefined;
  const read = (): void => {
    cancelRetry();
    let addresses: IpAddress[];
    try {
      addresses = rtnetlink.addresses().map(({ address }) => address);
    } catch (error) {
      if (failure === undefined)
        logger.warn({ error: String(error) }, "cannot read this host's addresses; trying again");
      failure = String(error);
      cancelRetry = clock.schedule(RETRY_MS, read);
      return;
    }
    failure = undefined;
    forwarder.setLocalAddresses(addresses);
  };
  // The subscription first: a change between the two is read twice rather than never.
  const monitor = native.startNetlinkMonitor(IPV4_ADDRESS_GROUP, read);
  read();
  return () => {
    native.stopNetlinkMonitor(monitor);
    cancelRetry();
  };
}
