/** Offers the kernel's rtnetlink of its namespace to a test. */
import { loadNative } from '../../src/native/load.ts';
import { kernelRtnetlink } from '../../src/rtnetlink/kernel-rtnetlink.ts';
import { serve } from './wire.ts';

serve({ ...kernelRtnetlink(loadNative()) });
