from lob_core.runtime import compile_quickly, configure_cpu

configure_cpu()
compile_quickly()
