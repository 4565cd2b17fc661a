; Calls with records and tuples: a METH_FASTCALL function that takes values apart into arrays, calls
; `dmc_call_program` of entry.ll, and puts its results together.
;
; It returns an int where the values are not exactly what the program was compiled for, or something
; is to be said about them: Python code, which sees the same values, takes over from there.

; A value in prefix order, as built in calls.py. `class` is that of a record, whose fields follow,
; `count` the number of parts, `stack` the lengths of a stack's axes (arrays tell those of one that is
; taken), `constants` those that a record which is made carries and one that is taken must carry (any
; if null).
%node = type { i64, ptr, i64, ptr, ptr }
; Kinds of nodes: 0 array, 1 number (of a result), 2 tuple, 3 record, 4 nothing.

; program, number of arguments, their nodes, number of their leaves, node of the result,
; whether behind its results stands which index was outside its axis, and the names of what is kept
; in a record: values, constants, stack.
%call = type { ptr, i64, ptr, i64, ptr, i64, ptr, ptr, ptr }
; PyObject, and PyArrayObject_fields up to its data.
%object = type { i64, ptr }
%array = type { i64, ptr, ptr }

@PyTuple_Type = external global i8
@_Py_NoneStruct = external global i8

declare ptr @dmc_call_program(ptr, ptr, i64)
declare ptr @PyArray_Return(ptr)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare ptr @PyDict_Copy(ptr)
declare void @PyErr_Clear()
declare ptr @PyLong_FromLongLong(i64)
declare i32 @PyObject_GenericSetAttr(ptr, ptr, ptr)
declare ptr @PyObject_GetAttr(ptr, ptr)
declare i32 @PyObject_RichCompareBool(ptr, ptr, i32)
declare ptr @PyTuple_GetItem(ptr, i64)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare i64 @PyTuple_Size(ptr)
declare ptr @PyType_GenericAlloc(ptr, i64)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)

define ptr @dmc_call_tree(ptr %self, ptr %arguments, i64 %given) nounwind {
entry:
  %node = alloca ptr, align 8
  %next = alloca ptr, align 8
  %call = call ptr @PyCapsule_GetPointer(ptr %self, ptr null)
  %count.at = getelementptr %call, ptr %call, i64 0, i32 1
  %count = load i64, ptr %count.at
  %right.number = icmp eq i64 %given, %count
  br i1 %right.number, label %prepare, label %refuse

prepare:
  %nodes.at = getelementptr %call, ptr %call, i64 0, i32 2
  %nodes = load ptr, ptr %nodes.at
  %leaves.at = getelementptr %call, ptr %call, i64 0, i32 3
  %leaves = load i64, ptr %leaves.at
  %arrays = alloca ptr, i64 %leaves, align 16
  store ptr %nodes, ptr %node
  store ptr %arrays, ptr %next
  br label %arguments.test

arguments.test:
  %i = phi i64 [ 0, %prepare ], [ %i.next, %argument ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %argument, label %run

argument:
  %argument.at = getelementptr ptr, ptr %arguments, i64 %i
  %value = load ptr, ptr %argument.at
  %taken = call i1 @take(ptr %call, ptr %value, ptr %node, ptr %next)
  %i.next = add i64 %i, 1
  br i1 %taken, label %arguments.test, label %refuse

refuse:
  %minus.one = call ptr @PyLong_FromLongLong(i64 -1)
  ret ptr %minus.one

run:
  %program = load ptr, ptr %call
  %results = call ptr @dmc_call_program(ptr %program, ptr %arrays, i64 %leaves)
  %failed = icmp eq ptr %results, null
  br i1 %failed, label %as.it.is, label %look

look:
  %type.at = getelementptr %object, ptr %results, i64 0, i32 1
  %type = load ptr, ptr %type.at
  %is.tuple = icmp eq ptr %type, @PyTuple_Type
  br i1 %is.tuple, label %check, label %as.it.is

as.it.is:
  ret ptr %results

check:
  %faults.at = getelementptr %call, ptr %call, i64 0, i32 5
  %faults = load i64, ptr %faults.at
  %no.faults = icmp eq i64 %faults, 0
  br i1 %no.faults, label %finish, label %fault

fault:
  %size = call i64 @PyTuple_Size(ptr %results)
  %last = sub i64 %size, 1
  %found.at = call ptr @PyTuple_GetItem(ptr %results, i64 %last)
  %data.at = getelementptr %array, ptr %found.at, i64 0, i32 2
  %data = load ptr, ptr %data.at
  %found = load i64, ptr %data
  %none.found = icmp eq i64 %found, 0
  br i1 %none.found, label %finish, label %blame

blame:
  call void @Py_DecRef(ptr %results)
  %blamed = call ptr @PyLong_FromLongLong(i64 -1)
  ret ptr %blamed

finish:
  %result.at = getelementptr %call, ptr %call, i64 0, i32 4
  %result.node = load ptr, ptr %result.at
  %position = alloca i64, align 8
  store ptr %result.node, ptr %node
  store i64 0, ptr %position
  %made = call ptr @make(ptr %call, ptr %results, ptr %node, ptr %position)
  call void @Py_DecRef(ptr %results)
  ret ptr %made
}

; Put the arrays of a value from `*%next` on, and step over its nodes from `*%node` on; false where it
; is another kind of value. Whether arrays fit is tested by what is called with them.
define internal i1 @take(ptr %call, ptr %value, ptr %node, ptr %next) nounwind {
entry:
  %here = load ptr, ptr %node
  %after = getelementptr %node, ptr %here, i64 1
  store ptr %after, ptr %node
  %kind = load i64, ptr %here
  %type.at = getelementptr %object, ptr %value, i64 0, i32 1
  %type = load ptr, ptr %type.at
  %count.at = getelementptr %node, ptr %here, i64 0, i32 2
  %count = load i64, ptr %count.at
  switch i64 %kind, label %nothing [
    i64 0, label %leaf
    i64 2, label %tuple
    i64 3, label %record
  ]

nothing:
  ret i1 true

leaf:
  %slot = load ptr, ptr %next
  store ptr %value, ptr %slot
  %slot.after = getelementptr ptr, ptr %slot, i64 1
  store ptr %slot.after, ptr %next
  ret i1 true

record:
  %class.at = getelementptr %node, ptr %here, i64 0, i32 1
  %class = load ptr, ptr %class.at
  %same.class = icmp eq ptr %type, %class
  br i1 %same.class, label %look, label %other

look:
  %sizes.at = getelementptr %node, ptr %here, i64 0, i32 4
  %sizes = load ptr, ptr %sizes.at
  %any.sizes = icmp eq ptr %sizes, null
  br i1 %any.sizes, label %fields, label %carried

carried:
  %constants = call ptr @kept(ptr %call, i64 1, ptr %value)
  %no.constants = icmp eq ptr %constants, null
  br i1 %no.constants, label %other, label %agree

agree:
  ; 2 is Py_EQ.
  %agreeing = call i32 @PyObject_RichCompareBool(ptr %constants, ptr %sizes, i32 2)
  %same.sizes = icmp eq i32 %agreeing, 1
  br i1 %same.sizes, label %fields, label %other

fields:
  %values = call ptr @kept(ptr %call, i64 0, ptr %value)
  %no.values = icmp eq ptr %values, null
  br i1 %no.values, label %other, label %tuple

tuple:
  %all = phi ptr [ %value, %entry ], [ %values, %fields ]
  %all.type.at = getelementptr %object, ptr %all, i64 0, i32 1
  %all.type = load ptr, ptr %all.type.at
  %is.tuple = icmp eq ptr %all.type, @PyTuple_Type
  br i1 %is.tuple, label %measure, label %other

measure:
  %size = call i64 @PyTuple_Size(ptr %all)
  %same.size = icmp eq i64 %size, %count
  br i1 %same.size, label %parts.test, label %other

parts.test:
  %i = phi i64 [ 0, %measure ], [ %i.next, %part ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %part, label %done

part:
  %item = call ptr @PyTuple_GetItem(ptr %all, i64 %i)
  %taken = call i1 @take(ptr %call, ptr %item, ptr %node, ptr %next)
  %i.next = add i64 %i, 1
  br i1 %taken, label %parts.test, label %other

done:
  ret i1 true

other:
  ret i1 false
}

; What a record keeps under one of the names in the call; the record goes on holding it. Null where
; it keeps nothing.
define internal ptr @kept(ptr %call, i64 %which, ptr %record) nounwind {
entry:
  %names = getelementptr %call, ptr %call, i64 0, i32 6
  %name.at = getelementptr ptr, ptr %names, i64 %which
  %name = load ptr, ptr %name.at
  %value = call ptr @PyObject_GetAttr(ptr %record, ptr %name)
  %none = icmp eq ptr %value, null
  br i1 %none, label %clear, label %found

clear:
  call void @PyErr_Clear()
  ret ptr null

found:
  call void @Py_DecRef(ptr %value)
  ret ptr %value
}

; Put together the value described from `*%node` on, of results from `*%position` on; null with an
; exception set where there is no memory.
define internal ptr @make(ptr %call, ptr %results, ptr %node, ptr %position) nounwind {
entry:
  %here = load ptr, ptr %node
  %after = getelementptr %node, ptr %here, i64 1
  store ptr %after, ptr %node
  %kind = load i64, ptr %here
  %count.at = getelementptr %node, ptr %here, i64 0, i32 2
  %count = load i64, ptr %count.at
  switch i64 %kind, label %nothing [
    i64 0, label %leaf
    i64 1, label %leaf
    i64 2, label %parts
    i64 3, label %parts
  ]

nothing:
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct

leaf:
  %at = load i64, ptr %position
  %at.next = add i64 %at, 1
  store i64 %at.next, ptr %position
  %array = call ptr @PyTuple_GetItem(ptr %results, i64 %at)
  call void @Py_IncRef(ptr %array)
  %is.number = icmp eq i64 %kind, 1
  br i1 %is.number, label %number, label %whole

whole:
  ret ptr %array

number:
  %scalar = call ptr @PyArray_Return(ptr %array)
  ret ptr %scalar

parts:
  %tuple = call ptr @PyTuple_New(i64 %count)
  %no.tuple = icmp eq ptr %tuple, null
  br i1 %no.tuple, label %fail, label %parts.test

parts.test:
  %i = phi i64 [ 0, %parts ], [ %i.next, %keep ]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %part, label %all

part:
  %made = call ptr @make(ptr %call, ptr %results, ptr %node, ptr %position)
  %not.made = icmp eq ptr %made, null
  br i1 %not.made, label %give.up, label %keep

keep:
  call i32 @PyTuple_SetItem(ptr %tuple, i64 %i, ptr %made)
  %i.next = add i64 %i, 1
  br label %parts.test

all:
  %is.tuple = icmp eq i64 %kind, 2
  br i1 %is.tuple, label %plain, label %record

plain:
  ret ptr %tuple

record:
  %class.at = getelementptr %node, ptr %here, i64 0, i32 1
  %class = load ptr, ptr %class.at
  %stack.at = getelementptr %node, ptr %here, i64 0, i32 3
  %stack = load ptr, ptr %stack.at
  %constants.at = getelementptr %node, ptr %here, i64 0, i32 4
  %shared = load ptr, ptr %constants.at
  %constants = call ptr @PyDict_Copy(ptr %shared)
  %no.constants = icmp eq ptr %constants, null
  br i1 %no.constants, label %give.up, label %allocate

allocate:
  %object = call ptr @PyType_GenericAlloc(ptr %class, i64 0)
  %no.object = icmp eq ptr %object, null
  br i1 %no.object, label %drop, label %fill

fill:
  %names = getelementptr %call, ptr %call, i64 0, i32 6
  %values.name = load ptr, ptr %names
  %constants.name.at = getelementptr ptr, ptr %names, i64 1
  %constants.name = load ptr, ptr %constants.name.at
  %stack.name.at = getelementptr ptr, ptr %names, i64 2
  %stack.name = load ptr, ptr %stack.name.at
  call i32 @PyObject_GenericSetAttr(ptr %object, ptr %values.name, ptr %tuple)
  call i32 @PyObject_GenericSetAttr(ptr %object, ptr %constants.name, ptr %constants)
  call i32 @PyObject_GenericSetAttr(ptr %object, ptr %stack.name, ptr %stack)
  call void @Py_DecRef(ptr %tuple)
  call void @Py_DecRef(ptr %constants)
  ret ptr %object

drop:
  call void @Py_DecRef(ptr %constants)
  br label %give.up

give.up:
  call void @Py_DecRef(ptr %tuple)
  br label %fail

fail:
  ret ptr null
}
