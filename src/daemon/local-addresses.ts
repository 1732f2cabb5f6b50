import type { Forwarder } from '../backend/forwarder.ts';
import type { NativeAddon } from '../native/addon.ts';
import type { Rtnetlink } from '../rtnetlink/rtnetlink.ts';

/** RTMGRP_IPV4_IFADDR (linux/rtnetlink.h) */
const IPV4_ADDRESS_GROUP = 0x10;

/**
 * Keeps the packet path's set of this host's own addresses in step with the kernel: docker0, for one, gets its address
 * long after the daemon has started.
 * @returns what stops it.
 */
export function followLocalAddresses(native: NativeAddon, rtnetlink: Rtnetlink, forwarder: Forwarder): () => void {
  const read = () => forwarder.setLocalAddresses(rtnetlink.addresses().map(({ address }) => address));
  // The subscription first: a change between the two is read twice rather than never.
  const monitor = native.startNetlinkMonitor(IPV4_ADDRESS_GROUP, read);
  read();
  return () => native.stopNetlinkMonitor(monitor);
}
