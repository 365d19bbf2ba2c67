from lob_core.runtime import configure_cpu

configure_cpu()
