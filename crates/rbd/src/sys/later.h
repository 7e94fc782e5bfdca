/* Functions newer than the oldest headers the bindings are generated from, declared as their release does.
 * Declaring a function twice alike is allowed, so newer headers do no harm. */
#include <rados/librados.h>
#include <rbd/librbd.h>

int rbd_clone4(rados_ioctx_t p_ioctx, const char *p_name, uint64_t p_snap_id,
               rados_ioctx_t c_ioctx, const char *c_name, rbd_image_options_t c_opts);
