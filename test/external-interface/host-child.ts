/** Chooses the external interface and looks for overlaps in its namespace, for a test. */
import {
  type ExternalInterfaceOptions,
  selectExternalInterface,
} from '../../src/external-interface/external-interface.ts';
import { readNetworkView } from '../../src/external-interface/network-view.ts';
import { findOverlap, type OverlapContext } from '../../src/external-interface/overlap.ts';
import type { Prefix } from '../../src/ip/ip.ts';
import { loadNative } from '../../src/native/load.ts';
import { kernelRtnetlink } from '../../src/rtnetlink/kernel-rtnetlink.ts';
import { serve } from '../rtnetlink/wire.ts';

const rtnetlink = kernelRtnetlink(loadNative());

serve({
  select: (options: ExternalInterfaceOptions) => selectExternalInterface(readNetworkView(rtnetlink), options),
  overlap: (network: Prefix, context: OverlapContext) => findOverlap(network, readNetworkView(rtnetlink), context),
});
