// Marks functions shared between code compiled for every CPU and code compiled for one ISA. Without it the linker could
// keep the ISA's out-of-line copy for everybody, and an older CPU would meet instructions it does not have.
#pragma once

#define GRAMLESS_SHARED inline __attribute__((always_inline))
