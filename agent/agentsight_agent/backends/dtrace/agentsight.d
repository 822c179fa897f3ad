#!/usr/sbin/dtrace -s
/*
 * What one command and its children do on macOS, one record a line, for `agentsight replay`:
 *
 *	: > trace.txt
 *	sudo dtrace -s agentsight.d -o trace.txt -c 'COMMAND' 2> >(tee -a trace.txt >&2)
 *	sudo dtrace -s agentsight.d -p PID > trace.txt 2>&1
 *
 * Framing. A record begins at the beginning of a line:
 *
 *	@kind timestamp pid tid fields...
 *
 * Fields are decimal numbers, and texts in quotes. DTrace has no JSON, and %s prints the bytes of a
 * path as they are, newlines too. %S prints a text with C escapes (\n, \", \\, \ooo), so that it
 * cannot end its own quotes or line; it shows the rest of the text's buffer, too, as \0\0..., so
 * bytes that may hold NUL (arguments, addresses, plaintext) cannot be told that way. They follow as
 * the hex dump of tracemem(), and the last field of the record is their count. Texts of strsize - 1
 * bytes are cut.
 *
 * BEGIN tells the format's version. Records that DTrace has no room for ("drops") it tells on
 * stderr, which is why that goes into the trace; the reader finds these lines wherever they fall.
 *
 * Needs root, and of System Integrity Protection `csrutil enable --without dtrace`; programs that are
 * restricted (/bin, /usr/bin, hardened runtime without get-task-allow) show no plaintext even so.
 *
 * The target has executed its program before DTrace looks at it: it is introduced at its first
 * system call.
 */

#pragma D option quiet
#pragma D option zdefs
#pragma D option strsize=1024
#pragma D option bufsize=16m
#pragma D option dynvarsize=32m
#pragma D option switchrate=10hz

/* The target and all that it has started, by process id. */
int watched[int];
int introduced;
/* Of descriptors, by process id and number. */
uint64_t reads[int, int];
uint64_t writes[int, int];
uint64_t read_bytes[int, int];
uint64_t written_bytes[int, int];

dtrace:::BEGIN
{
	watched[$target] = 1;
	printf("@begin %d %d %d 1 %d %d\n", timestamp, pid, tid, walltimestamp, $target);
}

dtrace:::END
{
	printf("@end %d %d %d\n", timestamp, pid, tid);
}

/* A clause that ran into memory that is not there: its record is missing. */
dtrace:::ERROR
{
	printf("@error %d %d %d %d %d\n", timestamp, pid, tid, arg1, arg4);
}

/* ---- processes ---- */

proc:::create
/watched[pid]/
{
	watched[args[0]->pr_pid] = 1;
	printf("@fork %d %d %d %d\n", timestamp, pid, tid, args[0]->pr_pid);
}

/*
 * Arguments lie one after the other, each with its NUL: from the first one to the end of the last.
 * 0 for the pointers of a program that has none.
 */
proc:::exec-success
/watched[pid]/
{
	self->introduce = 1;
}

syscall:::entry
/pid == $target && !introduced/
{
	introduced = 1;
	self->introduce = 2;
}

proc:::exec-success, syscall:::entry
/self->introduce/
{
	this->argc = curproc->p_argc;
	this->argv = (uint64_t *)copyin(curproc->p_dtrace_argv, 8 * (this->argc ? this->argc : 1));
	this->last = this->argc ? this->argv[this->argc - 1] : 0;
	this->size = this->argc ? this->last + strlen(copyinstr(this->last)) + 1 - this->argv[0] : 0;
	this->taken = this->size > 4096 ? 4096 : this->size;
	this->bytes = alloca(4096);
	copyinto(this->argc ? this->argv[0] : 0, this->taken, this->bytes);
	printf("@exec %d %d %d %d %d %d %d %d \"%S\" %d", timestamp, pid, tid, ppid, uid,
	    self->introduce - 1, this->argc, this->size, execname, this->taken);
	tracemem(this->bytes, 4096, this->taken);
}

proc:::exec-success, syscall:::entry
/self->introduce/
{
	self->introduce = 0;
}

syscall::exit:entry
/watched[pid]/
{
	self->status = arg0;
}

/* arg0: 1 it ended by itself, 2 and 3 a signal ended it (CLD_EXITED, CLD_KILLED, CLD_DUMPED). */
proc:::exit
/watched[pid]/
{
	printf("@exit %d %d %d %d %d\n", timestamp, pid, tid, arg0, self->status);
	self->status = 0;
	watched[pid] = 0;
}

proc:::signal-send
/watched[pid] || watched[args[1]->pr_pid]/
{
	printf("@signal %d %d %d %d %d\n", timestamp, pid, tid, args[1]->pr_pid, args[2]);
}

/* ---- files: paths are read at the return, when the kernel has had them in memory ---- */

syscall::open:entry, syscall::open_nocancel:entry
/watched[pid]/
{
	self->path = arg0;
	self->directory = -2;
	self->flags = arg1;
}

syscall::openat:entry, syscall::openat_nocancel:entry
/watched[pid]/
{
	self->path = arg1;
	self->directory = (int)arg0;
	self->flags = arg2;
}

syscall::open:return, syscall::open_nocancel:return, syscall::openat:return,
syscall::openat_nocancel:return
/self->path/
{
	printf("@open %d %d %d %d %d %d %d \"%S\"\n", timestamp, pid, tid, self->directory,
	    self->flags, (int)arg1, errno, copyinstr(self->path));
	self->path = 0;
}

syscall::read:entry, syscall::read_nocancel:entry, syscall::pread:entry,
syscall::pread_nocancel:entry, syscall::readv:entry, syscall::readv_nocancel:entry,
syscall::recvfrom:entry, syscall::recvfrom_nocancel:entry, syscall::recvmsg:entry,
syscall::recvmsg_nocancel:entry, syscall::write:entry, syscall::write_nocancel:entry,
syscall::pwrite:entry, syscall::pwrite_nocancel:entry, syscall::writev:entry,
syscall::writev_nocancel:entry, syscall::sendto:entry, syscall::sendto_nocancel:entry,
syscall::sendmsg:entry, syscall::sendmsg_nocancel:entry
/watched[pid]/
{
	self->descriptor = arg0 + 1;
}

syscall::read:return, syscall::read_nocancel:return, syscall::pread:return,
syscall::pread_nocancel:return, syscall::readv:return, syscall::readv_nocancel:return,
syscall::recvfrom:return, syscall::recvfrom_nocancel:return, syscall::recvmsg:return,
syscall::recvmsg_nocancel:return
/self->descriptor && (int)arg1 >= 0/
{
	reads[pid, self->descriptor - 1]++;
	read_bytes[pid, self->descriptor - 1] += arg1;
}

syscall::write:return, syscall::write_nocancel:return, syscall::pwrite:return,
syscall::pwrite_nocancel:return, syscall::writev:return, syscall::writev_nocancel:return,
syscall::sendto:return, syscall::sendto_nocancel:return, syscall::sendmsg:return,
syscall::sendmsg_nocancel:return
/self->descriptor && (int)arg1 >= 0/
{
	writes[pid, self->descriptor - 1]++;
	written_bytes[pid, self->descriptor - 1] += arg1;
}

syscall::read:return, syscall::read_nocancel:return, syscall::pread:return,
syscall::pread_nocancel:return, syscall::readv:return, syscall::readv_nocancel:return,
syscall::recvfrom:return, syscall::recvfrom_nocancel:return, syscall::recvmsg:return,
syscall::recvmsg_nocancel:return, syscall::write:return, syscall::write_nocancel:return,
syscall::pwrite:return, syscall::pwrite_nocancel:return, syscall::writev:return,
syscall::writev_nocancel:return, syscall::sendto:return, syscall::sendto_nocancel:return,
syscall::sendmsg:return, syscall::sendmsg_nocancel:return
/self->descriptor/
{
	self->descriptor = 0;
}

syscall::close:entry, syscall::close_nocancel:entry
/watched[pid]/
{
	printf("@close %d %d %d %d %d %d %d %d\n", timestamp, pid, tid, arg0,
	    read_bytes[pid, arg0], written_bytes[pid, arg0], reads[pid, arg0], writes[pid, arg0]);
	read_bytes[pid, arg0] = 0;
	written_bytes[pid, arg0] = 0;
	reads[pid, arg0] = 0;
	writes[pid, arg0] = 0;
}

syscall::unlink:entry
/watched[pid]/
{
	self->changed = arg0;
	self->at_directory = -2;
	self->mode = 0;
}

syscall::rmdir:entry
/watched[pid]/
{
	self->changed = arg0;
	self->at_directory = -2;
	self->mode = 0;
}

syscall::chdir:entry
/watched[pid]/
{
	self->changed = arg0;
	self->at_directory = -2;
	self->mode = 0;
}

syscall::mkdir:entry
/watched[pid]/
{
	self->changed = arg0;
	self->at_directory = -2;
	self->mode = arg1;
}

syscall::chmod:entry
/watched[pid]/
{
	self->changed = arg0;
	self->at_directory = -2;
	self->mode = arg1;
}

syscall::unlinkat:entry
/watched[pid]/
{
	self->changed = arg1;
	self->at_directory = (int)arg0;
	self->mode = arg2;
}

syscall::mkdirat:entry
/watched[pid]/
{
	self->changed = arg1;
	self->at_directory = (int)arg0;
	self->mode = arg2;
}

syscall::fchmodat:entry
/watched[pid]/
{
	self->changed = arg1;
	self->at_directory = (int)arg0;
	self->mode = arg2;
}

syscall::unlink:return, syscall::rmdir:return, syscall::chdir:return, syscall::mkdir:return,
syscall::chmod:return, syscall::unlinkat:return, syscall::mkdirat:return, syscall::fchmodat:return
/self->changed/
{
	printf("@change %d %d %d \"%S\" %d %d %d %d \"%S\"\n", timestamp, pid, tid, probefunc,
	    self->at_directory, self->mode, (int)arg1, errno, copyinstr(self->changed));
	self->changed = 0;
}

syscall::rename:entry, syscall::symlink:entry, syscall::link:entry
/watched[pid]/
{
	self->changed = arg0;
	self->named = arg1;
	self->at_directory = -2;
	self->to_directory = -2;
}

syscall::renameat:entry, syscall::renameatx_np:entry, syscall::linkat:entry
/watched[pid]/
{
	self->changed = arg1;
	self->named = arg3;
	self->at_directory = (int)arg0;
	self->to_directory = (int)arg2;
}

syscall::symlinkat:entry
/watched[pid]/
{
	self->changed = arg0;
	self->named = arg2;
	self->at_directory = -2;
	self->to_directory = (int)arg1;
}

syscall::rename:return, syscall::symlink:return, syscall::link:return, syscall::renameat:return,
syscall::renameatx_np:return, syscall::linkat:return, syscall::symlinkat:return
/self->named/
{
	printf("@name %d %d %d \"%S\" %d %d %d %d \"%S\" \"%S\"\n", timestamp, pid, tid,
	    probefunc, self->at_directory, self->to_directory, (int)arg1, errno,
	    copyinstr(self->changed), copyinstr(self->named));
	self->changed = 0;
	self->named = 0;
}

/* ---- connections: errno 36 (EINPROGRESS) is that of one that is made without blocking ---- */

syscall::connect:entry, syscall::connect_nocancel:entry
/watched[pid]/
{
	self->address = arg1;
	self->address_size = arg2 > 28 ? 28 : arg2;
	self->socket = arg0;
}

syscall::connect:return, syscall::connect_nocancel:return
/self->address/
{
	this->bytes = alloca(28);
	copyinto(self->address, self->address_size, this->bytes);
	printf("@connect %d %d %d %d %d %d", timestamp, pid, tid, self->socket, errno,
	    self->address_size);
	tracemem(this->bytes, 28, self->address_size);
	self->address = 0;
}

/*
 * ---- plaintext of the target (not of its children: the pid provider is of one process) ----
 *
 * libssl and libboringssl as libraries, or linked in with their symbols. Of a call 32 KiB at most
 * are taken, in pieces, as D has no loops; each piece says how many bytes the call moved.
 */

pid$target::SSL_write:entry, pid$target::SSL_read:entry
{
	self->ssl = arg0;
	self->from = arg1;
	self->count = 0;
}

pid$target::SSL_write_ex:entry, pid$target::SSL_read_ex:entry
{
	self->ssl = arg0;
	self->from = arg1;
	self->count = arg3;
}

pid$target::SSL_write:return, pid$target::SSL_read:return
/self->from && (int)arg1 > 0/
{
	self->size = (int)arg1;
}

pid$target::SSL_write_ex:return, pid$target::SSL_read_ex:return
/self->count && (int)arg1 == 1/
{
	self->size = *(uint64_t *)copyin(self->count, 8);
}

pid$target::SSL_write:return, pid$target::SSL_write_ex:return
{
	self->written = 1;
	self->at = timestamp;
}

pid$target::SSL_read:return, pid$target::SSL_read_ex:return
{
	self->written = 0;
	self->at = timestamp;
}

pid$target::SSL_write:return, pid$target::SSL_read:return,
pid$target::SSL_write_ex:return, pid$target::SSL_read_ex:return
/self->size > 0/
{
	this->taken = self->size - 0 > 4096 ? 4096 : self->size - 0;
	this->bytes = alloca(4096);
	copyinto(self->from + 0, this->taken, this->bytes);
	printf("@tls %d %d %d %d %d %d %d %d", self->at, pid, tid,
	    self->ssl, self->written, self->size, 0, this->taken);
	tracemem(this->bytes, 4096, this->taken);
}

pid$target::SSL_write:return, pid$target::SSL_read:return,
pid$target::SSL_write_ex:return, pid$target::SSL_read_ex:return
/self->size > 4096/
{
	this->taken = self->size - 4096 > 4096 ? 4096 : self->size - 4096;
	this->bytes = alloca(4096);
	copyinto(self->from + 4096, this->taken, this->bytes);
	printf("@tls %d %d %d %d %d %d %d %d", self->at, pid, tid,
	    self->ssl, self->written, self->size, 4096, this->taken);
	tracemem(this->bytes, 4096, this->taken);
}

pid$target::SSL_write:return, pid$target::SSL_read:return,
pid$target::SSL_write_ex:return, pid$target::SSL_read_ex:return
/self->size > 8192/
{
	this->taken = self->size - 8192 > 4096 ? 4096 : self->size - 8192;
	this->bytes = alloca(4096);
	copyinto(self->from + 8192, this->taken, this->bytes);
	printf("@tls %d %d %d %d %d %d %d %d", self->at, pid, tid,
	    self->ssl, self->written, self->size, 8192, this->taken);
	tracemem(this->bytes, 4096, this->taken);
}

pid$target::SSL_write:return, pid$target::SSL_read:return,
pid$target::SSL_write_ex:return, pid$target::SSL_read_ex:return
/self->size > 12288/
{
	this->taken = self->size - 12288 > 4096 ? 4096 : self->size - 12288;
	this->bytes = alloca(4096);
	copyinto(self->from + 12288, this->taken, this->bytes);
	printf("@tls %d %d %d %d %d %d %d %d", self->at, pid, tid,
	    self->ssl, self->written, self->size, 12288, this->taken);
	tracemem(this->bytes, 4096, this->taken);
}

pid$target::SSL_write:return, pid$target::SSL_read:return,
pid$target::SSL_write_ex:return, pid$target::SSL_read_ex:return
/self->size > 16384/
{
	this->taken = self->size - 16384 > 4096 ? 4096 : self->size - 16384;
	this->bytes = alloca(4096);
	copyinto(self->from + 16384, this->taken, this->bytes);
	printf("@tls %d %d %d %d %d %d %d %d", self->at, pid, tid,
	    self->ssl, self->written, self->size, 16384, this->taken);
	tracemem(this->bytes, 4096, this->taken);
}

pid$target::SSL_write:return, pid$target::SSL_read:return,
pid$target::SSL_write_ex:return, pid$target::SSL_read_ex:return
/self->size > 20480/
{
	this->taken = self->size - 20480 > 4096 ? 4096 : self->size - 20480;
	this->bytes = alloca(4096);
	copyinto(self->from + 20480, this->taken, this->bytes);
	printf("@tls %d %d %d %d %d %d %d %d", self->at, pid, tid,
	    self->ssl, self->written, self->size, 20480, this->taken);
	tracemem(this->bytes, 4096, this->taken);
}

pid$target::SSL_write:return, pid$target::SSL_read:return,
pid$target::SSL_write_ex:return, pid$target::SSL_read_ex:return
/self->size > 24576/
{
	this->taken = self->size - 24576 > 4096 ? 4096 : self->size - 24576;
	this->bytes = alloca(4096);
	copyinto(self->from + 24576, this->taken, this->bytes);
	printf("@tls %d %d %d %d %d %d %d %d", self->at, pid, tid,
	    self->ssl, self->written, self->size, 24576, this->taken);
	tracemem(this->bytes, 4096, this->taken);
}

pid$target::SSL_write:return, pid$target::SSL_read:return,
pid$target::SSL_write_ex:return, pid$target::SSL_read_ex:return
/self->size > 28672/
{
	this->taken = self->size - 28672 > 4096 ? 4096 : self->size - 28672;
	this->bytes = alloca(4096);
	copyinto(self->from + 28672, this->taken, this->bytes);
	printf("@tls %d %d %d %d %d %d %d %d", self->at, pid, tid,
	    self->ssl, self->written, self->size, 28672, this->taken);
	tracemem(this->bytes, 4096, this->taken);
}

pid$target::SSL_write:return, pid$target::SSL_read:return,
pid$target::SSL_write_ex:return, pid$target::SSL_read_ex:return
{
	self->size = 0;
	self->from = 0;
	self->count = 0;
}

pid$target::SSL_set_fd:entry
{
	printf("@tlsfd %d %d %d %d %d\n", timestamp, pid, tid, arg0, (int)arg1);
}

pid$target::SSL_free:entry
{
	printf("@tlsfree %d %d %d %d\n", timestamp, pid, tid, arg0);
}
