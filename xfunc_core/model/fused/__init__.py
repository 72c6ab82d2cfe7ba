"""The operations of `xfunc_core.model.operations` as compiled kernels for the processor, differentiable twice."""
