"""The operations of `xfunc_core.model.operations` as kernels for the processor and for a GPU, differentiable twice."""
